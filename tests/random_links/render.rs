//! Modules as C and C++ text. Any module that `program` can express compiles.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::program::{How, Item, Module, Name, Output, Ref, Visibility};

/// What C++ modules have in common, as from a header: each defines what it uses, and the linker keeps one.
const HEADER: &str = "\
inline unsigned in0() { static unsigned n; *(volatile unsigned *)&n = 1; return n + 10; }
inline unsigned in1() { static unsigned n = 5; *(volatile unsigned *)&n = 7; return n; }
inline unsigned made(int n) { puts(\"constructor of a template's member\"); return n + 100; }
template <int N> struct T { static unsigned member; static unsigned get() { return *(volatile unsigned *)&member ? 1 : 1; } };
template <int N> unsigned T<N>::member = made(N);
struct V { unsigned x; constexpr V(unsigned x) : x(x) {} virtual unsigned get() { return x + 1; } };
struct W : V { constexpr W(unsigned x) : V(x) {} unsigned get() override { return x + 2; } };
";

fn attributes(weak: bool, visibility: Visibility) -> String {
    let visibility = match visibility {
        Visibility::Default => "",
        Visibility::Hidden => "__attribute__((visibility(\"hidden\"))) ",
        Visibility::Protected => "__attribute__((visibility(\"protected\"))) ",
    };
    format!("{}{visibility}", if weak { "__attribute__((weak)) " } else { "" })
}

/// The text of a module of a link that makes `output`.
pub fn text(module: &Module, output: Output) -> String {
    let mut writer = Writer {
        module,
        defined: module.items.iter().filter_map(Item::defines).collect(),
        text: "int printf(const char *, ...), puts(const char *);\n".to_owned(),
    };
    if module.cpp {
        writer.text.insert_str(0, "extern \"C\" {\n");
    }
    writer.declarations();
    if module.cpp {
        writer.text += "}\n";
        writer.text += HEADER;
        writer.text += "extern \"C\" {\n";
    }
    for (at, item) in module.items.iter().enumerate() {
        writer.item(at, item, output);
    }
    if module.cpp {
        writer.text += "}\n";
    }
    writer.text
}

struct Writer<'a> {
    module: &'a Module,
    defined: BTreeSet<Name>,
    text: String,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }

    fn refs(&self) -> impl Iterator<Item = &Ref> {
        self.module.items.iter().flat_map(Item::refs)
    }

    /// Every name the module uses or defines, and what bodies need besides.
    fn declarations(&mut self) {
        let mut weak: BTreeMap<Name, bool> = self.defined.iter().map(|name| (*name, false)).collect();
        for of in self.refs() {
            if let Some(name) = of.name() {
                *weak.entry(name).or_default() |= matches!(of, Ref::Weak(_)) && !self.defined.contains(&name);
            }
            if matches!(of, Ref::Dead(_)) {
                weak.entry(Name::Zero).or_default();
            }
        }
        for (name, weak) in weak {
            let visibility = match self.defined.contains(&name) {
                true => Visibility::Default,
                false => self.module.declared.get(&name).copied().unwrap_or(Visibility::Default),
            };
            let attributes = attributes(weak, visibility);
            self.line(&match name {
                Name::Function(_) | Name::Zero => format!("{attributes}unsigned {name}(void);"),
                Name::Variable(_) => format!("extern {attributes}unsigned {name}[];"),
                Name::Tls(_) => format!("extern {attributes}__thread unsigned {name};"),
            });
        }
        let number = self.module.number;
        if self.refs().any(|of| matches!(of, Ref::Copy | Ref::Clear)) {
            self.line(&format!(
                "struct big {{ unsigned a[100]; }}; static struct big from{number}, to{number};\n\
                 __attribute__((noinline)) static void copy{number}(struct big *to, struct big *from) {{ *to = *from; }}\n\
                 __attribute__((noinline)) static void clear{number}(struct big *to) {{ __builtin_memset(to, 0, sizeof *to); }}"
            ));
        }
        let sets: BTreeSet<usize> = self
            .refs()
            .filter_map(|of| match of {
                Ref::Set(set) => Some(*set),
                _ => None,
            })
            .collect();
        for set in sets {
            self.line(&format!(
                "extern __attribute__((weak)) unsigned __start_set{set}[], __stop_set{set}[];"
            ));
        }
    }

    /// The statements of a body, which end with a sum in `r`. What they write does not change anything, or the sums would depend
    /// on the order of constructors.
    fn body(&self, refs: &[Ref], start: usize, print: bool) -> String {
        let mut text = format!("unsigned r = {start};");
        let number = self.module.number;
        for of in refs {
            text.push_str("\n  ");
            text += &match of {
                Ref::Call(name) => format!("r = r * 3 + {name}();"),
                Ref::Dead(name) => format!("if (zero()) r += {name}();"),
                Ref::Weak(name) => format!("if ({name}) r += {name}() + 1;"),
                Ref::Address(name) => {
                    format!("{{ unsigned (*volatile p)(void) = {name}; r += p != 0; }}")
                }
                Ref::Load(name) => format!("r = r * 3 + {name}[0];"),
                Ref::Store(name) => format!("*(volatile unsigned *)&{name}[0] = {name}[0];"),
                Ref::Tls(name) => format!("r += {name}; *(volatile unsigned *)&{name} = {name};"),
                Ref::Copy => {
                    format!("from{number}.a[5] = r; copy{number}(&to{number}, &from{number}); r += to{number}.a[5];")
                }
                Ref::Clear => format!("to{number}.a[7] = r; clear{number}(&to{number}); r += to{number}.a[7];"),
                Ref::Divide => "{ volatile __int128 x = r; r += (unsigned)(x * 1000 / (r + 7)); }".to_owned(),
                Ref::Set(set) => format!(
                    "for (unsigned *p = __start_set{set}; p != __stop_set{set}; p++) {}",
                    if print {
                        format!("printf(\"set{set} has %u\\n\", *p);")
                    } else {
                        "r += *p;".to_owned()
                    }
                ),
                Ref::Inline(which) => format!("r += in{which}();"),
                Ref::Template(which) => format!("r += T<{which}>::get();"),
                Ref::Virtual => "{ static W w(3); V *volatile p = &w; r += p->get(); }".to_owned(),
                Ref::Throw => "try { if (r != 7) throw 1; } catch (int x) { r += x; }".to_owned(),
            };
            if print {
                write!(text, " printf(\"%u\\n\", r);").unwrap_or_default();
            }
        }
        text
    }

    fn item(&mut self, at: usize, item: &Item, output: Output) {
        let number = self.module.number;
        // Different in every module, so that results tell whose definition was linked.
        let value = number * 100 + at;
        let tag = format!("{number}_{at}");
        let text = match item {
            Item::Define {
                name,
                how,
                weak,
                visibility,
                noinline,
                refs,
            } => {
                let mut attributes = attributes(*weak, *visibility);
                if *noinline {
                    attributes += "__attribute__((noinline)) ";
                }
                self.definition(*name, how, &attributes, *weak, *visibility, refs, value, &tag)
            }
            Item::Unused { local, refs } => format!(
                "{}unsigned unused{tag}(void) {{ {}\n  return r; }}",
                if *local { "__attribute__((unused)) static " } else { "" },
                self.body(refs, value, false)
            ),
            Item::Constructor {
                priority,
                destructor,
                refs,
            } => format!(
                "__attribute__(({}structor{})) static void structor{tag}(void) {{ {}\n  printf(\"structor {tag} %u\\n\", r); }}",
                if *destructor { "de" } else { "con" },
                priority.map(|number| format!("({number})")).unwrap_or_default(),
                self.body(refs, value, false)
            ),
            Item::SetEntry(set) => {
                format!("__attribute__((section(\"set{set}\"), used)) static unsigned entry{tag} = {value};")
            }
            Item::AssemblyReference(name) => {
                format!("__asm__(\".pushsection .data.assembly,\\\"aw\\\"\\n.quad {name}\\n.popsection\");")
            }
            Item::Routine("memcpy") => "void *memcpy(void *to, const void *from, unsigned long n) {\n\
                 \u{20} char *t = (char *)to; const char *f = (const char *)from; while (n--) *t++ = *f++; return to; }"
                .to_owned(),
            Item::Routine(_) => "void *memset(void *to, int c, unsigned long n) {\n\
                 \u{20} char *t = (char *)to; while (n--) *t++ = (char)c; return to; }"
                .to_owned(),
            Item::Main(refs) => format!(
                "int {}(void) {{ {}\n  return 0; }}",
                if output.is_program() { "main" } else { "entry" },
                self.body(refs, value, true)
            ),
        };
        self.line(&text);
    }

    #[allow(clippy::too_many_arguments)]
    fn definition(
        &self,
        name: Name,
        how: &How,
        attributes: &str,
        weak: bool,
        visibility: Visibility,
        refs: &[Ref],
        value: usize,
        tag: &str,
    ) -> String {
        match (name, how) {
            (Name::Variable(_), How::Common(size)) => format!("{attributes}unsigned {name}[{size}];"),
            (Name::Variable(_), _) => format!("{attributes}unsigned {name}[{}] = {{{value}}};", 1 + value % 3),
            (Name::Tls(_), _) => format!("{attributes}__thread unsigned {name} = {value};"),
            (Name::Zero, _) => format!("{attributes}unsigned zero(void) {{ return 0; }}"),
            (Name::Function(_), How::Alias) => format!(
                "static unsigned aliased{tag}(void) {{ {}\n  return r; }}\n\
                 {attributes}unsigned {name}(void) __attribute__((alias(\"aliased{tag}\")));",
                self.body(refs, value, false)
            ),
            (Name::Function(_), How::Ifunc) => format!(
                "static unsigned chosen{tag}(void) {{ {}\n  return r; }}\n\
                 static unsigned (*choose{tag}(void))(void) {{ return chosen{tag}; }}\n\
                 {attributes}unsigned {name}(void) __attribute__((ifunc(\"choose{tag}\")));",
                self.body(refs, value, false)
            ),
            (Name::Function(_), How::Assembly) => {
                let binding = if weak { "weak" } else { "globl" };
                let hidden = match visibility {
                    Visibility::Default => String::new(),
                    Visibility::Hidden => format!(".hidden {name}\\n"),
                    Visibility::Protected => format!(".protected {name}\\n"),
                };
                format!(
                    "__asm__(\".text\\n.{binding} {name}\\n{hidden}.type {name},@function\\n{name}:\\n\"\n\
                     \"movl ${value}, %eax\\nret\\n.size {name}, .-{name}\\n\");"
                )
            }
            (Name::Function(_), How::Versioned(version, default)) => format!(
                "__attribute__((used)) unsigned versioned{tag}(void) {{ {}\n  return r; }}\n\
                 __asm__(\".symver versioned{tag}, {name}{}V{version}\");",
                self.body(refs, value, false),
                if *default { "@@" } else { "@" }
            ),
            (Name::Function(_), How::Wrap) => format!(
                "unsigned __real_{name}(void);\n\
                 {attributes}unsigned __wrap_{name}(void) {{ return 1000 + __real_{name}(); }}"
            ),
            (Name::Function(_), _) => format!(
                "{attributes}unsigned {name}(void) {{ {}\n  return r; }}",
                self.body(refs, value, false)
            ),
        }
    }
}

/// A native program that calls whatever a library or a relocatable object defines.
pub fn user(functions: usize, variables: usize) -> String {
    let mut text = "int printf(const char *, ...); __attribute__((weak)) int entry(void);\n".to_owned();
    let mut body = "if (entry) entry(); else printf(\"no entry\\n\");\n".to_owned();
    for name in (0..functions).map(Name::Function) {
        writeln!(text, "__attribute__((weak)) unsigned {name}(void);").unwrap_or_default();
        writeln!(body, "  if ({name}) printf(\"{name} %u\\n\", {name}());").unwrap_or_default();
    }
    for name in (0..variables).map(Name::Variable) {
        writeln!(text, "extern __attribute__((weak)) unsigned {name}[];").unwrap_or_default();
        writeln!(body, "  if ({name}) printf(\"{name} %u\\n\", {name}[0]);").unwrap_or_default();
    }
    text + "int main(void) { " + &body + "  return 0; }\n"
}
