//! What it is tried on: four modules, and the profiles and lists that options name.
//! Knows nothing of the options.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use thinlto_ld::cmdline::OutputKind;

use crate::rows::{Effect, row};
use crate::{Bench, run};

/// The sources: (name, compile options besides the position model, text).
pub const SOURCES: &[(&str, &str, &str)] = &[
    (
        "a.cpp",
        "-O2 -fxray-instrument -fxray-instruction-threshold=1",
        r#"
extern "C" { double sum(const double *, int); int pick(int); int work(int); int plain(int *, int); int loud(int); extern int table[64];
             void may_throw(int); __attribute__((weak)) int hook(int x) { return x + 1; } }
extern "C" int first(int);
int (*volatile pointer)(int);
thread_local int counter;
int zeroes[100];
struct Guard { int v; Guard() : v(pick(3)) {} ~Guard() { counter++; } } guard;
struct Base { virtual int f(int) { return 1; } };
struct Derived : Base { int f(int x) override { return x * pick(x); } };
Base *volatile object = new Derived;
static __attribute__((noinline)) int deep(const int *p, int n) { return n > 0 ? deep(p, n - 2) * *p + deep(p, n - 1) : *p; }
extern "C" int main(int argc, char **) {
  pointer = first;
  double d[16]; for (int i = 0; i < 16; i++) d[i] = i * argc;
  try { Guard g; may_throw(argc); } catch (int e) { counter += e; }
  counter += object->f(argc) + hook(argc) + work(argc) + plain(table, 64) + zeroes[argc];
  return deep(table + argc, argc) + (int)sum(d, 16) + pick(argc) + counter + loud(argc);
}
"#,
    ),
    (
        "b.c",
        "-O2 -fno-math-errno",
        r#"
double sin(double);
double out[1024];
__attribute__((section("mine"), noinline)) int first(int x) { return x * 7; }
__attribute__((section("mine"), noinline)) int second(int x) { return first(x) ^ 5; }

int table[64] = {1, 2, 3};
__thread int local_count;
double sum(const double *p, int n) { double s = 0; for (int i = 0; i < n; i++) s += p[i] * 2.5; local_count++; return s; }
__attribute__((noinline)) static void fill(void) { for (int i = 0; i < 1024; i++) out[i] = sin(out[i]); }
int pick(int x) {
  switch (x) { case 0: return 5; case 1: return table[3]; case 2: fill(); return 3; case 3: return local_count;
    case 4: return 99; case 5: return -4; case 6: return 12; case 7: return x * table[9]; case 8: return second(x) + first(9);
    default: return 0; }
}
"#,
    ),
    (
        "c.cpp",
        "-O2 -g -fprofile-sample-use=../nobody",
        r#"
extern "C" { int pick(int); extern int table[64]; int use(const char *); int note(int, int);
static int helper(int x, int y) {
  int r = 0;
  for (int i = 0; i < x; i++) r += table[(i * y) & 63] ^ (r >> 3);
  return r;
}
int work(int x) {
  int a = 0;
  for (int i = 0; i < x; i++) {
    if (pick(i) > 3)
      a += helper(i, x) + note(42, i);
    else
      a -= use("cold");
  }
  return a;
}
void may_throw(int x) { if (x > 100) throw x; }
}
"#,
    ),
    (
        "d.c",
        "-O2 -gdwarf-4",
        r#"
extern int pick(int);
int cells[256];
double grid[64][64];
void turn(double by) { for (int i = 0; i < 64; i++) for (int j = 0; j < 64; j++) grid[j][i] = grid[j][i] * by + 1; }
static __attribute__((noinline)) int quiet(int x) { return x ? quiet(x / 2) + pick(x) : cells[x]; }
int loud(int x) { return quiet(x) + 1; }
_Noreturn void leave(int x) { for (;;) cells[x & 255] += pick(x); }
int plain(int *p, int n) {
  int r = 0;
  if (n == 77) leave(n);
  turn(n);
  for (int i = 0; i < 256; i++) cells[i] = cells[i] * 3 + p[i & 63];
  for (int i = 0; i < n; i++) r += __builtin_popcount(p[i]) + pick(i);
  return r + (int)__builtin_floor(r * 0.3);
}
"#,
    ),
];

/// Compiles the sources for one LLVM and position model. The module `d` loses its target attributes: only there do
/// the link's CPU and features show.
pub fn compile(dir: &Path, llvm: u32, model: &str) {
    fs::create_dir_all(dir).unwrap();
    for (name, options, text) in SOURCES {
        let stem = name.split('.').next().unwrap();
        let source = dir.join(name);
        fs::write(&source, text).unwrap();
        let clang = format!("clang-{llvm}");
        let compile = |from: &Path, to: &str, extra: &[&str]| {
            let mut command = Command::new(&clang);
            command.current_dir(dir).args(["-flto=thin", model]);
            run(command.args(options.split(' ')).args(extra).arg(from).args(["-o", to]));
        };
        if stem == "d" {
            compile(&source, "d.ll", &["-S"]);
            let ir = fs::read_to_string(dir.join("d.ll")).unwrap();
            let kept = |w: &&str| {
                !(w.starts_with("\"target-cpu\"")
                    || w.starts_with("\"target-features\"")
                    || w.starts_with("\"tune-cpu\""))
            };
            let lines: Vec<String> = ir
                .lines()
                .filter(|l| !l.starts_with('^'))
                .map(|l| l.split(' ').filter(kept).collect::<Vec<_>>().join(" "))
                .collect();
            fs::write(dir.join("d.ll"), lines.join("\n")).unwrap();
            compile(Path::new("d.ll"), "d.o", &["-c"]);
        } else {
            compile(&source, &format!("{stem}.o"), &["-c"]);
        }
    }
}

pub fn corpus(root: &Path, llvm: u32, model: &str) -> PathBuf {
    root.join(format!("corpus-{llvm}{model}"))
}

pub const SAMPLE: &str = "work:20000:100\n 2: 5000\n 3: 5000\n 4: 10 pick:10\n 5: 4000\n 7: 1\nmain:100:1\n 1: 1\n";
pub const LIST: &str = "v1\nf main\nc 0 2\nf work\nc 0 1 3\nc 2\n";

/// Writes the files that rows name with `@`.
pub fn materials(root: &Path) {
    fs::write(root.join("sample"), SAMPLE).unwrap();
    fs::write(root.join("list"), LIST).unwrap();
    // A module remembers that it was compiled for a sample profile; only then does the link's shape it.
    fs::write(root.join("nobody"), "nobody:1:1\n 1: 1\n").unwrap();
}

/// A context-sensitive profile of this very link, made from the hashes that instrumentation wrote into its objects;
/// and one that isn't context-sensitive (clang's driver hands those to the linker too).
pub fn profiles(root: &Path, llvm: u32) {
    use md5::{Digest, Md5};
    use object::{Object, ObjectSection};
    let bench = Bench::new(
        root,
        &format!("instrumented-{llvm}"),
        &row(
            llvm,
            OutputKind::Executable,
            "--lto-cs-profile-generate",
            Effect::Visible,
        ),
    );
    // After six fields of eight bytes; LLVM 23 has one more.
    let counters_at = if llvm < 23 { 48 } else { 56 };
    let mut text = String::new();
    for object in bench.in_process(1) {
        let file = object::File::parse(&*object).unwrap();
        for section in file
            .sections()
            .filter(|s| s.name().is_ok_and(|n| n.starts_with("__llvm_prf_data")))
        {
            let data = section.data().unwrap();
            let number = |at: usize| u64::from_le_bytes(data[at..at + 8].try_into().unwrap());
            let guid = |name: &str| u64::from_le_bytes(Md5::digest(name)[..8].try_into().unwrap());
            for name in ["work", "pick", "plain", "sum", "main"]
                .into_iter()
                .filter(|n| guid(n) == number(0))
            {
                let counters = number(counters_at) & 0xffff_ffff;
                let counts: Vec<_> = (0..counters).map(|i| (10_u64.pow(i as u32 % 5)).to_string()).collect();
                text += &format!("{name}\n{}\n{counters}\n{}\n\n", number(8), counts.join("\n"));
            }
        }
    }
    assert!(text.contains("work"), "no function data found");
    for (name, header) in [("csprofile", ":csir\n"), ("irprofile", ":ir\n")] {
        let source = root.join(format!("{name}-{llvm}.txt"));
        fs::write(&source, format!("{header}{text}")).unwrap();
        let mut merge = Command::new(format!("llvm-profdata-{llvm}"));
        run(merge
            .args(["merge", "-o"])
            .arg(root.join(format!("{name}-{llvm}")))
            .arg(&source));
    }
}
