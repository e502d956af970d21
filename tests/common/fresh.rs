//! What a link must give, without a line of ours: in-process lld's objects, linked where their bitcode stood.
//! Knows nothing of the links it is compared with.

use std::fs;

use super::Bench;

impl Bench {
    /// Makes `ref.out` by the command line `words` of the compiler `clang`, linking with `linker`; leaves in-process lld's
    /// objects as `in.P1`, `in.P2` … and forgets those of ours. All words ending in `.o` are ThinLTO modules.
    pub fn fresh(&self, clang: &str, linker: &str, words: &[&str]) {
        let ld = format!("--ld-path={linker}");
        self.fresh_by(clang, &[&ld], "-Wl,--lto-obj-path=in.P", words);
    }

    /// As [`Bench::fresh`], with a bare linker command line.
    pub fn fresh_bare(&self, words: &[&str]) {
        self.fresh_by(&self.lld(), &[], "--lto-obj-path=in.P", words);
    }

    fn fresh_by(&self, program: &str, first: &[&str], keep: &str, words: &[&str]) {
        for entry in fs::read_dir(self.path(".")).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with("in.P") || name.starts_with("our.P") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        let inside = [first, &["-o", "in.out", keep], words].concat();
        self.run(program, &inside).ok();
        let mut task = 0;
        let mut native = |word: &&str| match word.ends_with(".o") {
            true => {
                task += 1;
                format!("in.P{task}")
            }
            false => (*word).to_owned(),
        };
        let natives: Vec<String> = words.iter().map(&mut native).collect();
        let natives: Vec<&str> = natives.iter().map(String::as_str).collect();
        let again = [first, &["-o", "ref.out"], &natives].concat();
        self.run(program, &again).ok();
    }
}
