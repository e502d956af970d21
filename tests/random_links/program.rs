//! What a random link is made of: modules with their definitions and references, the inputs they come in, and options.
//! Knows nothing of how it is chosen (`generate`), written as C (`render`) or built (`build`).

use std::collections::BTreeMap;

/// What a module is compiled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Thin,
    Regular,
    Native,
    /// Machine code with ThinLTO bitcode beside it.
    Fat,
}

/// What the link makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    NoPie,
    Pie,
    Static,
    StaticPie,
    Shared,
    Relocatable,
}

impl Output {
    /// The linker's output is itself a program.
    pub fn is_program(self) -> bool {
        !matches!(self, Output::Shared | Output::Relocatable)
    }

    pub fn is_static(self) -> bool {
        matches!(self, Output::Static | Output::StaticPie)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    Default,
    Hidden,
    Protected,
}

/// What a name stands for, in every module alike. Numbered: a function calls only those of higher numbers, so that every
/// program comes to an end whoever's definitions are linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    Function(usize),
    Variable(usize),
    Tls(usize),
    /// A function that gives 0, which only a look into another module tells.
    Zero,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Function(number) => write!(f, "f{number}"),
            Name::Variable(number) => write!(f, "v{number}"),
            Name::Tls(number) => write!(f, "t{number}"),
            Name::Zero => write!(f, "zero"),
        }
    }
}

/// How a function's body uses a name or makes the code generator use one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ref {
    Call(Name),
    /// A call that is never made, as LTO may find out.
    Dead(Name),
    /// A call if it is there at all; the declaration is weak.
    Weak(Name),
    Address(Name),
    Load(Name),
    Store(Name),
    Tls(Name),
    /// A structure copied or cleared: `memcpy` or `memset`, which no bitcode names.
    Copy,
    Clear,
    /// A division of 128-bit numbers: a routine of the compiler's library.
    Divide,
    /// The sum of a linker set's entries.
    Set(usize),
    /// C++: an inline function with a counter of its own, a template's member with a constructor, a virtual call, an exception.
    Inline(usize),
    Template(usize),
    Virtual,
    Throw,
}

impl Ref {
    pub fn name(&self) -> Option<Name> {
        match self {
            Ref::Call(name)
            | Ref::Dead(name)
            | Ref::Weak(name)
            | Ref::Address(name)
            | Ref::Load(name)
            | Ref::Store(name)
            | Ref::Tls(name) => Some(*name),
            _ => None,
        }
    }

    pub fn is_cpp(&self) -> bool {
        matches!(self, Ref::Inline(_) | Ref::Template(_) | Ref::Virtual | Ref::Throw)
    }
}

/// How a module defines a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    Plain,
    /// A tentative definition, of so many elements.
    Common(usize),
    /// Another name of a function of the module's own.
    Alias,
    Ifunc,
    /// In module-level assembly.
    Assembly,
    /// By `.symver`, in this version; the default one or not.
    Versioned(usize, bool),
    /// `__wrap_NAME`, which calls `__real_NAME`.
    Wrap,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Define {
        name: Name,
        how: How,
        weak: bool,
        visibility: Visibility,
        noinline: bool,
        refs: Vec<Ref>,
    },
    /// A function that nobody calls; static or not.
    Unused {
        local: bool,
        refs: Vec<Ref>,
    },
    /// Says that it was run, at the start or in the end.
    Constructor {
        priority: Option<u16>,
        destructor: bool,
        refs: Vec<Ref>,
    },
    SetEntry(usize),
    /// A reference in module-level assembly.
    AssemblyReference(Name),
    /// The program's own `memset` or `memcpy`.
    Routine(&'static str),
    /// What prints the results; `main` in programs, `entry` in libraries.
    Main(Vec<Ref>),
}

impl Item {
    pub fn refs(&self) -> &[Ref] {
        match self {
            Item::Define { refs, .. }
            | Item::Unused { refs, .. }
            | Item::Constructor { refs, .. }
            | Item::Main(refs) => refs,
            _ => &[],
        }
    }

    pub fn refs_mut(&mut self) -> Option<&mut Vec<Ref>> {
        match self {
            Item::Define { refs, .. }
            | Item::Unused { refs, .. }
            | Item::Constructor { refs, .. }
            | Item::Main(refs) => Some(refs),
            _ => None,
        }
    }

    /// The name it defines under that very name.
    pub fn defines(&self) -> Option<Name> {
        match self {
            Item::Define { how: How::Wrap, .. } => None,
            Item::Define { name, .. } => Some(*name),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name is `m` and this.
    pub number: usize,
    pub kind: Kind,
    pub cpp: bool,
    pub level: &'static str,
    pub sections: bool,
    pub items: Vec<Item>,
    /// Visibilities that declarations ask for.
    pub declared: BTreeMap<Name, Visibility>,
}

/// Files that come together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    Objects,
    Lib,
    Archive {
        thin: bool,
        whole: bool,
        /// Its members all have one name.
        same_names: bool,
    },
    /// A library built beforehand of native modules.
    Shared {
        as_needed: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub shape: Shape,
    /// Indices of modules.
    pub members: Vec<usize>,
}

impl Group {
    /// It is a file of its own: an archive or a shared library.
    pub fn has_library(&self) -> bool {
        matches!(self.shape, Shape::Archive { .. } | Shape::Shared { .. })
    }
}

/// A place on the link line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// An index of groups.
    pub group: usize,
    /// Named by a linker script's `INPUT` or `GROUP`.
    pub script: Option<&'static str>,
    /// Named as `-lNAME`.
    pub searched: bool,
    /// Within `--start-group` and `--end-group`.
    pub grouped: bool,
}

/// Words of the link line that go together, with the file they name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub words: Vec<String>,
    pub file: Option<(String, String)>,
    /// Behind the inputs, not before.
    pub last: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub llvm: u32,
    pub output: Output,
    pub split_unit: bool,
    pub modules: Vec<Module>,
    pub groups: Vec<Group>,
    pub inputs: Vec<Input>,
    pub choices: Vec<Choice>,
}

impl Program {
    /// Some module throws exceptions: C++'s library is needed.
    pub fn throws(&self) -> bool {
        let mut refs = self
            .modules
            .iter()
            .flat_map(|module| &module.items)
            .flat_map(Item::refs);
        refs.any(|of| *of == Ref::Throw)
    }

    pub fn has_fat(&self) -> bool {
        self.modules.iter().any(|module| module.kind == Kind::Fat)
    }

    pub fn is_shared(&self, module: usize) -> bool {
        let mut groups = self.groups.iter();
        groups.any(|group| matches!(group.shape, Shape::Shared { .. }) && group.members.contains(&module))
    }

    /// Whether a module comes into the link only for what it defines.
    pub fn is_lazy(&self, module: usize) -> bool {
        let group = self.groups.iter().find(|group| group.members.contains(&module));
        match group.map(|group| &group.shape) {
            Some(Shape::Lib | Shape::Shared { .. }) => true,
            Some(Shape::Archive { whole, .. }) => !whole,
            _ => false,
        }
    }
}
