//! What every link asks of every index, in a few bytes: the modules it names, the definitions it makes, and a digest of all
//! the rest. Knows nothing of what modules hold; whoever names an object by an outline names the modules' contents too.

use super::ids;
use super::index::{Index, Item};

/// An index, as far as modules whose backends do not run are concerned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outline {
    /// The modules it names, its own among them, in its order.
    pub modules: Vec<OutlinedModule>,
    /// Its own module's definitions: their GUIDs, and whether they are `dso_local`.
    pub definitions: Vec<(u64, bool)>,
    /// Of all it says but the paths and hashes of modules. Two indexes of one digest make the same object if the modules
    /// they name are, one by one, the same. How it is packed does not matter, the order of what it says does.
    pub digest: [u8; 32],
}

/// A module that an index names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutlinedModule {
    /// Its path.
    pub path: Vec<u8>,
    /// The GUIDs of what is imported from it; none from the index's own.
    pub imports: Vec<u64>,
}

impl Outline {
    /// The outline of an index whose own module is called `own`.
    pub fn of(index: &Index, own: &[u8]) -> Outline {
        let definitions = index.definitions_of(own);
        let mut imports = index.by_module();
        let modules = index.modules().into_iter().map(|module| OutlinedModule {
            imports: match imports.remove(&module.id) {
                Some(imports) if module.path != own => imports,
                _ => Vec::new(),
            },
            path: module.path,
        });
        let mut said = Vec::new();
        feed(&index.items, None, &mut said);
        Outline {
            modules: modules.collect(),
            definitions: definitions
                .into_iter()
                .map(|summary| (summary.guid, summary.flags.is_dso_local()))
                .collect(),
            digest: *blake3::hash(&said).as_bytes(),
        }
    }
}

fn number(value: u64, to: &mut Vec<u8>) {
    to.extend_from_slice(&value.to_le_bytes());
}

/// Every list is preceded by its length, so that no two different indexes feed the same bytes.
fn feed(items: &[Item], block: Option<u64>, to: &mut Vec<u8>) {
    number(items.len() as u64, to);
    for item in items {
        match item {
            Item::Block { id, items } => {
                to.push(b'B');
                number(*id, to);
                feed(items, Some(*id), to);
            }
            Item::Record(record) => {
                let kept = match (block, record.code, record.operands.as_slice()) {
                    (Some(ids::MODULE_STRTAB_BLOCK), ids::MST_ENTRY, [id, ..]) => std::slice::from_ref(id),
                    (Some(ids::MODULE_STRTAB_BLOCK), ids::MST_HASH, _) => &[],
                    (_, _, operands) => operands,
                };
                to.push(b'R');
                number(record.code, to);
                number(kept.len() as u64, to);
                kept.iter().for_each(|operand| number(*operand, to));
                let blob = record.blob.as_deref().unwrap_or_default();
                number(blob.len() as u64, to);
                to.extend_from_slice(blob);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitcode::index::SummaryOf;
    use crate::bitcode::symbols::Linkage;
    use crate::bitcode::testing::Llvm;

    #[test]
    fn paths_and_hashes_are_no_part_of_the_digest() {
        let llvm = Llvm::newest();
        llvm.compile(
            "one",
            "int two(int); int main(void) { return two(1); }",
            "-O2 -flto=thin",
        );
        llvm.compile("two", "int two(int x) { return x + 2; }", "-O2 -flto=thin");
        let indexes = llvm.thin_link(&["one.o", "two.o"], "-e main");
        let index = Index::parse(&indexes[0]).unwrap();
        let outline = Outline::of(&index, b"one.o");
        let named = |path: &[u8], imports: &[u64]| OutlinedModule {
            path: path.to_vec(),
            imports: imports.to_vec(),
        };
        let two = crate::bitcode::guid(b"two");
        assert_eq!(outline.modules, [named(b"one.o", &[]), named(b"two.o", &[two])]);
        assert_eq!(outline.definitions, [(crate::bitcode::guid(b"main"), true)]);

        let mut moved = index.clone();
        moved.rename_modules(|path| [b"elsewhere/", path].concat());
        moved.set_hashes(|_| Some([7; 5]));
        let moved = Outline::of(&Index::parse(&moved.write()).unwrap(), b"elsewhere/one.o");
        assert_eq!(
            (moved.digest, &moved.definitions),
            (outline.digest, &outline.definitions)
        );
        assert_ne!(moved.modules, outline.modules);

        // Another flag, another code.
        let mut other = index.clone();
        let declaration = crate::bitcode::Declaration {
            guid: 7,
            of: SummaryOf::Function,
            linkage: Linkage::External,
        };
        assert_eq!(other.add_dso_local(b"one.o", &[declaration]), Ok(1));
        assert_ne!(Outline::of(&other, b"one.o").digest, outline.digest);
    }
}
