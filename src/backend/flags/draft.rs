//! A set of backend flags in the making: one method per option that takes more than a table row to translate.
//! Knows nothing of which options exist (the tables call it) nor of modules; `Flags` is made of it when all are read.

use std::path::PathBuf;

use super::mllvm::{self, Found, Rule};
use super::temps::Temps;
use super::{LlvmVersion, Relocation};
use crate::llvm::{self, CsProfile, Labels, Traits};

/// Optimisation remarks as lld was asked for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Remarks {
    pub(super) file: Option<String>,
    /// As given; lld puts it into the file's name even where it is empty.
    pub(super) format: String,
    pub(super) passes: Option<String>,
    pub(super) hotness: Option<&'static str>,
}

/// What the settings read so far come to.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) llvm: LlvmVersion,
    pub(super) relocation: Relocation,
    pub(super) opt: u8,
    pub(super) codegen: Option<u8>,
    pub(super) cpu: Option<String>,
    pub(super) features: Vec<String>,
    /// Words that only the optimiser reads.
    pub(super) passes: Vec<String>,
    /// Words that the code generator reads, and the optimiser may.
    pub(super) words: Vec<String>,
    /// `-basic-block-sections` as given by `-mllvm`, which lld's own option overrides.
    pub(super) sections_fallback: Option<String>,
    pub(super) sections: Option<String>,
    pub(super) inputs: Vec<PathBuf>,
    pub(super) cs_generate: bool,
    pub(super) cs_file: Option<String>,
    /// Some word is none of ours: only clang knows whether it takes it.
    pub(super) unusual: bool,
    pub(super) dwo_dir: Option<String>,
    pub(super) remarks: Remarks,
    pub(super) traced: bool,
    pub(super) granularity: Option<u32>,
    pub(super) first_task: usize,
    pub(super) temps: Temps,
    pub(super) interchange: bool,
}

/// clang's word for it.
pub(super) const LOOP_INTERCHANGE: &str = "-floop-interchange";

type Done = Result<(), &'static str>;

const OTHER_VERSION: &str = "not known for this version of LLVM";
const LEVELS: &str = "not an optimisation level";

fn level(value: &str) -> Result<u8, &'static str> {
    value.parse().ok().filter(|l| *l <= 3).ok_or(LEVELS)
}

/// What makes clang write XRay's function index as lld does.
fn xray_index(llvm: LlvmVersion) -> Option<&'static str> {
    let is_inverted = llvm::traits(llvm.major).xray_index_is_inverted;
    is_inverted.then_some("-fno-xray-function-index")
}

impl Draft {
    pub(super) fn new(llvm: LlvmVersion, relocation: Relocation) -> Self {
        Self {
            llvm,
            relocation,
            opt: 2,
            codegen: None,
            cpu: None,
            features: Vec::new(),
            passes: Vec::new(),
            words: xray_index(llvm).map(str::to_owned).into_iter().collect(),
            sections_fallback: None,
            sections: None,
            inputs: Vec::new(),
            cs_generate: false,
            cs_file: None,
            unusual: false,
            dwo_dir: None,
            remarks: Remarks::default(),
            traced: false,
            granularity: None,
            first_task: 1,
            temps: Temps::default(),
            interchange: llvm::traits(llvm.major).interchanges_loops,
        }
    }

    fn traits(&self) -> &'static Traits {
        llvm::traits(self.llvm.major)
    }

    pub(super) fn opt_level(&mut self, value: &str) -> Done {
        self.opt = level(value)?;
        Ok(())
    }

    pub(super) fn codegen_level(&mut self, value: &str) -> Done {
        self.codegen = Some(level(value)?);
        Ok(())
    }

    pub(super) fn cpu(&mut self, value: &str) -> Done {
        match value {
            // lld asks the machine it runs on; a backend may run on another.
            "native" => Err("names the machine lld runs on"),
            "help" => Err("prints help"),
            _ => {
                self.cpu = Some(value.to_owned()).filter(|c| !c.is_empty());
                Ok(())
            }
        }
    }

    /// `-mattr=+a,-b`: a `cl::list` with commas; a bare name means `+` (`SubtargetFeatures::AddFeature`).
    pub(super) fn features(&mut self, value: &str) -> Done {
        for feature in value.split(',').filter(|f| !f.is_empty()) {
            if feature == "help" || feature == "+help" {
                return Err("prints help");
            }
            let signed = if feature.starts_with(['+', '-']) {
                feature.to_owned()
            } else {
                format!("+{feature}")
            };
            self.features.push(signed.to_lowercase());
        }
        self.unusual = true;
        Ok(())
    }

    pub(super) fn relocation_model(&mut self, value: &str) -> Done {
        self.relocation = Relocation::Fixed(match value {
            "static" => "static",
            "pic" => "pic",
            "ropi" => "ropi",
            "rwpi" => "rwpi",
            "ropi-rwpi" => "ropi-rwpi",
            "dynamic-no-pic" => "dynamic-no-pic",
            _ => return Err("not a relocation model"),
        });
        Ok(())
    }

    pub(super) fn mllvm(&mut self, value: &str) -> Done {
        let bare = value
            .strip_prefix("--")
            .or_else(|| value.strip_prefix('-'))
            .ok_or("not an LLVM option")?;
        let (name, argument) = bare.split_once('=').map_or((bare, None), |(n, a)| (n, Some(a)));
        let rule = match mllvm::find(name, self.llvm.major) {
            Found::Rule(rule) => rule,
            Found::Elsewhere => Rule::Same,
            Found::OtherVersion => return Err(OTHER_VERSION),
        };
        let given = argument.filter(|a| !a.is_empty()).ok_or("needs a value");
        match rule {
            Rule::Bool(yes, no) => {
                let on = mllvm::boolean(argument).ok_or("not a boolean")?;
                self.push(if on { yes } else { no });
            }
            Rule::Joined(word) => {
                self.unusual = true;
                self.words.push(format!("{word}{}", given?));
            }
            Rule::Separate(word) => {
                self.unusual = true;
                self.words.extend([word.to_owned(), given?.to_owned()]);
            }
            Rule::Choice(choices) => {
                let given = given?;
                let words = choices.iter().find(|c| c.0 == given).ok_or("its value is not known")?.1;
                self.push(words);
            }
            Rule::Apply(apply) => apply(self, argument.unwrap_or_default())?,
            Rule::Drop | Rule::ThinLink => {}
            Rule::InProcess(why) => return Err(why),
            Rule::Same => {
                self.unusual = true;
                self.words.extend(["-mllvm".to_owned(), value.to_owned()]);
                // Many such options name a file to read; which do, only LLVM knows, but a name that opens is one.
                self.inputs.extend(argument.map(PathBuf::from));
            }
        }
        Ok(())
    }

    /// LLVM 16's spelling of `-xray-function-index=0`.
    pub(super) fn no_xray_index(&mut self, value: &str) -> Done {
        if mllvm::boolean(Some(value)).ok_or("not a boolean")? {
            self.words.retain(|w| Some(w.as_str()) != xray_index(self.llvm));
        }
        Ok(())
    }

    /// What `PipelineTuningOptions` of in-process LTO begin with, and clang overwrites with an option of its own.
    pub(super) fn loop_interchange(&mut self, value: &str) -> Done {
        self.interchange = mllvm::boolean(Some(value)).ok_or("not a boolean")?;
        Ok(())
    }

    fn push(&mut self, words: &[&str]) {
        self.words.extend(words.iter().map(|w| (*w).to_owned()));
    }

    pub(super) fn sample_profile(&mut self, value: &str) -> Done {
        if !value.is_empty() {
            self.passes.push(format!("-fprofile-sample-use={value}"));
            self.inputs.push(value.into());
        }
        Ok(())
    }

    pub(super) fn cs_profile_generate(&mut self, _: &str) -> Done {
        self.cs_generate = true;
        Ok(())
    }

    pub(super) fn cs_profile_file(&mut self, value: &str) -> Done {
        if self.traits().cs_profile == CsProfile::Unknown {
            return Err(OTHER_VERSION);
        }
        self.cs_file = Some(value.to_owned()).filter(|f| !f.is_empty());
        Ok(())
    }

    /// One file, written or read: lld's option for it is the same, clang's is not.
    fn settle_cs_profile(&mut self) {
        match (self.cs_generate, self.cs_file.take()) {
            (true, file) => {
                self.passes.push("-fprofile-instrument=csllvm".to_owned());
                self.passes
                    .extend(file.map(|f| format!("-fprofile-instrument-path={f}")));
            }
            (false, Some(file)) => {
                if self.traits().cs_profile == CsProfile::PathAndKind {
                    self.passes.push("-fprofile-instrument-use=csllvm".to_owned());
                }
                self.passes.push(format!("-fprofile-instrument-use-path={file}"));
                self.inputs.push(file.into());
            }
            (false, None) => {}
        }
    }

    pub(super) fn basic_block_sections(&mut self, value: &str) -> Done {
        self.known_sections(value)?;
        self.sections = Some(value.to_owned()).filter(|v| !v.is_empty());
        Ok(())
    }

    pub(super) fn basic_block_sections_fallback(&mut self, value: &str) -> Done {
        self.known_sections(value)?;
        self.sections_fallback = Some(value.to_owned());
        Ok(())
    }

    fn known_sections(&self, value: &str) -> Done {
        if value == "labels" && self.traits().labels == Labels::Unknown {
            Err(OTHER_VERSION)
        } else {
            Ok(())
        }
    }

    /// `createConfig`'s reading of the value: `all`, `none`, `labels`, or else a file.
    fn settle_sections(&mut self) {
        let Some(value) = self.sections.take().or_else(|| self.sections_fallback.take()) else {
            return;
        };
        match value.as_str() {
            "labels" if self.traits().labels == Labels::Nothing => {}
            "all" | "none" | "labels" => self.words.push(format!("-fbasic-block-sections={value}")),
            file => {
                self.inputs.push(file.into());
                self.words.push(format!("-fbasic-block-sections=list={file}"));
            }
        }
    }

    /// Writes down what needed more than one setting.
    pub(super) fn settle(&mut self) {
        if self.interchange {
            self.passes.push(LOOP_INTERCHANGE.to_owned());
        }
        self.settle_sections();
        self.settle_cs_profile();
    }

    pub(super) fn basic_block_address_map(&mut self, _: &str) -> Done {
        self.push(&["-fbasic-block-address-map"]);
        Ok(())
    }

    pub(super) fn unique_basic_block_names(&mut self, _: &str) -> Done {
        self.push(&["-funique-basic-block-section-names"]);
        Ok(())
    }

    pub(super) fn dwo_dir(&mut self, value: &str) -> Done {
        self.dwo_dir = Some(value.to_owned()).filter(|d| !d.is_empty());
        Ok(())
    }

    pub(super) fn remarks_file(&mut self, value: &str) -> Done {
        self.remarks.file = Some(value.to_owned()).filter(|f| !f.is_empty());
        Ok(())
    }

    pub(super) fn remarks_format(&mut self, value: &str) -> Done {
        value.clone_into(&mut self.remarks.format);
        Ok(())
    }

    pub(super) fn remarks_passes(&mut self, value: &str) -> Done {
        self.remarks.passes = Some(value.to_owned()).filter(|p| !p.is_empty());
        Ok(())
    }

    pub(super) fn remarks_with_hotness(&mut self, _: &str) -> Done {
        self.remarks.hotness = Some("-fdiagnostics-show-hotness");
        Ok(())
    }

    pub(super) fn remarks_threshold(&mut self, value: &str) -> Done {
        // clang's runThinLTOBackend has no line for it: every remark is written.
        if value == "0" {
            Ok(())
        } else {
            Err("clang forgets it in ThinLTO backends")
        }
    }

    pub(super) fn disable_verify(&mut self, _: &str) -> Done {
        self.push(&["-disable-llvm-verifier"]);
        Ok(())
    }

    pub(super) fn debug_pass_manager(&mut self, _: &str) -> Done {
        self.push(&["-fdebug-pass-manager"]);
        Ok(())
    }

    pub(super) fn time_trace(&mut self, _: &str) -> Done {
        self.traced = true;
        Ok(())
    }

    pub(super) fn time_trace_granularity(&mut self, value: &str) -> Done {
        self.granularity = Some(value.parse().map_err(|_| "not a number")?);
        Ok(())
    }

    pub(super) fn save_temps(&mut self, value: &str) -> Done {
        self.temps.add(value)
    }

    /// Tasks below this number are the regular-LTO partitions (llvm/lib/LTO/LTO.cpp, `runThinLTO`).
    pub(super) fn partitions(&mut self, value: &str) -> Done {
        self.first_task = value
            .parse()
            .ok()
            .filter(|n| *n > 0)
            .ok_or("not a number of partitions")?;
        Ok(())
    }

    pub(super) fn lto_kind(&mut self, value: &str) -> Done {
        match value {
            "thin" | "default" => Ok(()),
            _ => Err("not ThinLTO"),
        }
    }
}
