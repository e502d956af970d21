//! Broken input: whatever the bytes, every reader returns, and soon, and with memory in proportion to them.

use std::sync::OnceLock;

use proptest::prelude::*;

use super::testing::Llvm;
use super::*;

/// Real files to break: bitcode with metadata, assembly and two modules, and indexes.
fn corpus() -> &'static [Vec<u8>] {
    static CORPUS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let llvm = Llvm::newest();
        let source = "__asm__(\"nop\"); int x; int other(int); int main(int c, char **v) { __asm__(\"pause\"); return other(c) + x; }";
        let classes = "struct A { virtual int f(); }; int A::f() { return 1; } int call(A *a) { return a->f(); }";
        let mut files = vec![
            llvm.compile("small", source, "-O2 -flto=thin -fPIC"),
            llvm.compile("debug", source, "-O2 -g -flto=full"),
            llvm.compile("cxx", classes, "-O2 -g -flto=thin -fsplit-lto-unit -fvisibility=hidden -fwhole-program-vtables"),
        ];
        files.extend(llvm.thin_link(&["small.o"], "-e main"));
        files
    })
}

/// Runs every reader; only that they return matters.
fn read_all(bytes: &[u8]) {
    let _ = Facts::read(bytes).map(|facts| facts.kind(LtoMode::Default));
    let _ = symbols(bytes);
    let _ = assembly(bytes);
    let _ = ThinView::of(bytes, "22.1.8");
    let _ = ImportView::read(bytes).map(|view| view.of(bytes, [1, 2]));
    if let Ok(mut index) = Index::parse(bytes) {
        let _ = (index.is_empty(), index.is_skipped(), index.summarized());
        index.rename_modules(|path| [b"x", path].concat());
        let own = index
            .modules()
            .first()
            .map(|module| module.path.clone())
            .unwrap_or_default();
        let linkage = symbols::Linkage::External;
        let _ = index.add_dso_local(
            &own,
            &[Declaration {
                guid: 1,
                of: index::SummaryOf::Function,
                linkage,
            }],
        );
        index.set_hashes(|_| Some([1; 5]));
        let _ = Outline::of(&index, &own);
        // What was read can be written, and what was written read.
        assert_eq!(Index::parse(&index.write()).as_ref(), Ok(&index));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(tail in proptest::collection::vec(any::<u8>(), 0..600), magic in any::<bool>()) {
        let mut bytes = if magic { RAW_MAGIC.to_vec() } else { Vec::new() };
        bytes.extend(tail);
        read_all(&bytes);
    }

    #[test]
    fn an_arbitrary_wrapper(header in proptest::collection::vec(any::<u8>(), 0..24), size in any::<u32>()) {
        let mut bytes = WRAPPER_MAGIC.to_vec();
        bytes.extend(header);
        bytes.extend(size.to_le_bytes());
        read_all(&bytes);
    }

    #[test]
    fn flipped_bits(file in 0..4usize, flips in proptest::collection::vec(any::<prop::sample::Index>(), 1..12)) {
        let mut bytes = corpus()[file].clone();
        for flip in flips {
            let bit = flip.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        read_all(&bytes);
    }

    #[test]
    fn cut_short(file in 0..4usize, cut in any::<prop::sample::Index>()) {
        let whole = &corpus()[file];
        read_all(&whole[..cut.index(whole.len())]);
    }
}

/// Counts that promise more than there is must not be believed.
#[test]
fn a_huge_count_is_cut_short() {
    // An unabbreviated record (id 3 in two bits) of code 1 with 2^63 operands.
    let mut writer = Bits::default();
    writer.push(3, 2);
    writer.push(1, 6);
    for _ in 0..12 {
        writer.push(0b10_0000, 6);
    }
    writer.push(0b1000, 6);
    assert_eq!(Index::parse(&writer.file()), Err(BitcodeError::Truncated));
}

/// Thousands of blocks in each other: no recursion follows them.
#[test]
fn deep_nesting_is_refused() {
    let mut writer = writer::Writer::new(RAW_MAGIC);
    for _ in 0..20_000 {
        writer.enter(ids::MODULE_BLOCK);
    }
    let bytes = writer.finish();
    assert!(matches!(Index::parse(&bytes), Err(BitcodeError::Malformed(_))));
    read_all(&bytes);
}

/// An abbreviation of literals costs a record nothing: many such records must not become a huge tree.
#[test]
fn literals_do_not_multiply() {
    let mut body = Bits::default();
    // Define an abbreviation of 200 literals, a count that takes two chunks of VBR5.
    body.push(2, 3);
    body.push(0b1_1000, 5);
    body.push(200 >> 4, 5);
    for _ in 0..200 {
        body.push(1, 1);
        body.push(7, 8);
    }
    for _ in 0..100_000 {
        body.push(4, 3);
    }
    let body = body.file();
    let body = &body[RAW_MAGIC.len()..body.len() / 4 * 4];
    let mut bytes = RAW_MAGIC.to_vec();
    let mut header = Bits::default();
    // Enter block 8 with 3 bits an abbreviation.
    header.push(1, 2);
    header.push(8, 8);
    header.push(3, 4);
    header.push(0, 18);
    bytes.extend(&header.file()[RAW_MAGIC.len()..8]);
    bytes.extend(u32::try_from(body.len() / 4).unwrap().to_le_bytes());
    bytes.extend(body);
    assert_eq!(
        Index::parse(&bytes),
        Err(BitcodeError::Malformed("more operands than there are bits"))
    );
    read_all(&bytes);
}

#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn push(&mut self, value: u64, width: u32) {
        self.0.extend((0..width).map(|bit| value >> bit & 1 == 1));
    }

    /// The stream, padded with zeros to make it long enough to be looked at.
    fn file(&self) -> Vec<u8> {
        let mut bytes = RAW_MAGIC.to_vec();
        bytes.extend(
            self.0
                .chunks(8)
                .map(|bits| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit))),
        );
        bytes.extend([0; 16]);
        bytes
    }
}
