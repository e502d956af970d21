//! What an output says of itself: symbols, libraries, versions and the sizes of some sections.
//! Knows nothing of where things stand.

use std::collections::BTreeMap;
use std::path::Path;

use object::elf;
use object::read::elf::{FileHeader, Sym};

use super::build::is_ours;

type Header = elf::FileHeader64<object::LittleEndian>;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// What is said of each global symbol, and how often.
    pub symtab: BTreeMap<String, Vec<String>>,
    pub dynsym: BTreeMap<String, Vec<String>>,
    pub locals: BTreeMap<String, Vec<String>>,
    pub needed: Vec<String>,
    pub soname: Vec<String>,
    pub versions: Vec<String>,
    pub sections: BTreeMap<String, u64>,
}

impl Image {
    pub fn read(path: &Path) -> Image {
        let bytes = std::fs::read(path).unwrap();
        parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

fn parse(bytes: &[u8]) -> object::read::Result<Image> {
    let header = Header::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let mut image = Image::default();
    for section in sections.iter() {
        let name = String::from_utf8_lossy(sections.section_name(endian, section)?).into_owned();
        // A relocatable object has one section for each priority, and more for COMDATs.
        let whole = ["init_array", "fini_array", "ctors", "dtors"]
            .iter()
            .find(|whole| name.strip_prefix('.').is_some_and(|name| name.starts_with(*whole)));
        let whole = whole
            .map(|whole| format!(".{whole}"))
            .or_else(|| name.starts_with("set").then(|| name.clone()));
        if let Some(name) = whole {
            *image.sections.entry(name).or_default() += section.sh_size.get(endian);
        }
    }
    let versions = sections.versions(endian, bytes)?;
    for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
        let symbols = sections.symbols(endian, bytes, kind)?;
        for (index, symbol) in symbols.enumerate() {
            let name = String::from_utf8_lossy(symbols.symbol_name(endian, symbol)?).into_owned();
            if name.is_empty() {
                continue;
            }
            let mut said = describe(endian, symbol);
            if let (elf::SHT_DYNSYM, Some(versions)) = (kind, &versions) {
                let of = versions.version_index(endian, index);
                let named = versions
                    .version(of)?
                    .map(|version| String::from_utf8_lossy(version.name()).into_owned());
                let default = if of.is_hidden() { "@" } else { "@@" };
                match named {
                    Some(named) => said += &format!(" {default}{named}"),
                    None => {
                        said += if of.index() == elf::VER_NDX_LOCAL {
                            " local version"
                        } else {
                            ""
                        }
                    }
                }
            }
            let table = match (kind, symbol.st_bind()) {
                (elf::SHT_DYNSYM, _) => &mut image.dynsym,
                (_, elf::STB_LOCAL) if is_ours(&name) => &mut image.locals,
                (_, elf::STB_LOCAL) => continue,
                _ => &mut image.symtab,
            };
            table.entry(name).or_default().push(said);
        }
    }
    for table in [&mut image.symtab, &mut image.dynsym, &mut image.locals] {
        table.values_mut().for_each(|said| said.sort());
    }
    if let Some((entries, link)) = sections.dynamic(endian, bytes)? {
        let strings = sections.strings(endian, bytes, link)?;
        let text = |at: u64| {
            let at = u32::try_from(at).unwrap_or_default();
            String::from_utf8_lossy(strings.get(at).unwrap_or_default()).into_owned()
        };
        for entry in entries {
            let value = entry.d_val.get(endian);
            match entry.d_tag.get(endian) {
                elf::DT_NEEDED => image.needed.push(text(value)),
                elf::DT_SONAME => image.soname.push(text(value)),
                _ => {}
            }
        }
    }
    if let Some((mut definitions, link)) = sections.gnu_verdef(endian, bytes)? {
        let strings = sections.strings(endian, bytes, link)?;
        while let Some((_, mut names)) = definitions.next()? {
            let mut all = Vec::new();
            while let Some(name) = names.next()? {
                all.push(String::from_utf8_lossy(name.name(endian, strings)?).into_owned());
            }
            image.versions.push(all.join(" after "));
        }
    }
    Ok(image)
}

fn describe(endian: object::LittleEndian, symbol: &elf::Sym64<object::LittleEndian>) -> String {
    let binding = match symbol.st_bind() {
        elf::STB_LOCAL => "local",
        elf::STB_GLOBAL => "global",
        elf::STB_WEAK => "weak",
        _ => "unique",
    };
    let visibility = match symbol.st_visibility() {
        elf::STV_HIDDEN => " hidden",
        elf::STV_PROTECTED => " protected",
        elf::STV_INTERNAL => " internal",
        _ => "",
    };
    let kind = match symbol.st_type() {
        elf::STT_FUNC => " function",
        elf::STT_OBJECT => " object",
        elf::STT_TLS => " tls",
        elf::STT_GNU_IFUNC => " ifunc",
        elf::STT_SECTION => " section",
        _ => "",
    };
    let place = match symbol.st_shndx(endian) {
        elf::SHN_UNDEF => " undefined",
        elf::SHN_ABS => " absolute",
        elf::SHN_COMMON => " common",
        _ => " defined",
    };
    let size = match (symbol.st_type(), symbol.st_shndx(endian)) {
        (_, elf::SHN_UNDEF) => String::new(),
        (elf::STT_OBJECT | elf::STT_TLS, _) => format!(", {} bytes", symbol.st_size(endian)),
        _ => String::new(),
    };
    format!("{binding}{visibility}{kind}{place}{size}")
}
