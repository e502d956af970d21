//! What differs from one LLVM to the next, in one place: which versions are known, and what each does otherwise than the one before.
//! Options that came or went are told by their own tables (`cmdline::table`, `backend::flags`), up to [`NEWEST`]. Knows nothing of
//! what is done with any of it.

use std::ops::RangeInclusive;

/// The first version whose backends are known.
pub const OLDEST: u32 = 16;

/// The last version that was compared with in-process LTO, option by option. A later one is taken to be like it, once a sample
/// has shown that it is (`check`).
pub const NEWEST: u32 = 23;

/// What a `labels` given as basic-block sections comes to in a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// clang's own `labels`.
    Word,
    /// Nothing: lld sets the address map for it and then overwrites it with its own option for that.
    Nothing,
    /// Nobody has looked.
    Unknown,
}

/// How clang is told of a context-sensitive profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsProfile {
    /// By its path alone.
    Path,
    /// By its path and the kind it is of.
    PathAndKind,
    /// Nobody has looked.
    Unknown,
}

/// One version's ways, until the next row's.
#[derive(Debug)]
pub struct Traits {
    /// The first version of which this holds.
    pub since: u32,
    /// `-fno-xray-function-index` means the contrary of its name.
    pub xray_index_is_inverted: bool,
    /// lld calls backends' objects by their task, not by their module.
    pub objects_by_task: bool,
    /// `--lto-basic-block-sections=labels`.
    pub labels: Labels,
    /// `--lto-cs-profile-file=`.
    pub cs_profile: CsProfile,
    /// In-process LTO interchanges loops unless told not to; clang does if told to.
    pub interchanges_loops: bool,
    /// In-process backends are told which library functions are bitcode that the link has left in archives, and call none of them
    /// (`LTO::setBitcodeLibFuncs`); clang cannot be told.
    pub shuns_library_bitcode: bool,
    /// What a shared object refers to must be defined in the end, whether or not it was when the shared object was loaded
    /// (lld/ELF/InputFiles.cpp `SharedFile::parse`; seen of 19 and not of 16).
    pub requires_what_lto_removes: bool,
    /// What bitcode has defined is not provided by a linker script where LTO removes it (seen of 22, not of 19).
    pub provides_once: bool,
}

const LLVM_16: Traits = Traits {
    since: OLDEST,
    xray_index_is_inverted: true,
    objects_by_task: true,
    labels: Labels::Word,
    cs_profile: CsProfile::Path,
    interchanges_loops: false,
    shuns_library_bitcode: false,
    requires_what_lto_removes: false,
    provides_once: false,
};
const LLVM_17: Traits = Traits {
    since: 17,
    xray_index_is_inverted: false,
    ..LLVM_16
};
const LLVM_18: Traits = Traits {
    since: 18,
    objects_by_task: false,
    ..LLVM_17
};
const LLVM_19: Traits = Traits {
    since: 19,
    requires_what_lto_removes: true,
    ..LLVM_18
};
const LLVM_20: Traits = Traits {
    since: 20,
    labels: Labels::Unknown,
    cs_profile: CsProfile::Unknown,
    ..LLVM_19
};
const LLVM_22: Traits = Traits {
    since: 22,
    labels: Labels::Nothing,
    cs_profile: CsProfile::PathAndKind,
    provides_once: true,
    ..LLVM_20
};
const LLVM_23: Traits = Traits {
    since: 23,
    interchanges_loops: true,
    shuns_library_bitcode: true,
    ..LLVM_22
};

/// Newest first.
const VERSIONS: [&Traits; 7] = [&LLVM_23, &LLVM_22, &LLVM_20, &LLVM_19, &LLVM_18, &LLVM_17, &LLVM_16];

/// The ways of LLVM `major`: of one newer than any known, those of the newest.
pub fn traits(major: u32) -> &'static Traits {
    let row = VERSIONS.into_iter().find(|row| row.since <= major);
    row.unwrap_or(&LLVM_16)
}

/// Summary versions whose records are laid out as read and written here: LLVM 16 has 9, 19 has 10, 22 has 12, 23 and a snapshot of 24
/// have 14. What 13 and 14 brought are two more flags of a summary, which are kept as they are.
pub const SUMMARY_VERSIONS: RangeInclusive<u64> = 9..=14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_between_two_rows_is_like_the_older_and_a_newer_one_like_the_newest() {
        let since = |major| traits(major).since;
        assert_eq!(
            [16, 17, 21, 22, NEWEST, NEWEST + 9].map(since),
            [16, 17, 20, 22, 23, 23]
        );
        assert_eq!(since(3), OLDEST);
    }
}
