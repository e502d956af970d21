//! The modules of a random link and the inputs they come in; what is in them comes later.

use std::collections::BTreeMap;

use super::common::random::Random;
use super::generate::chance;
use super::program::{Group, Input, Kind, Module, Output, Program, Shape};

pub fn modules(random: &mut Random, llvm: u32) -> Vec<Module> {
    // Some links have nothing but ThinLTO modules, as most real ones.
    let kinds: &[Kind] = match random.below(8) {
        0..=2 => &[Kind::Thin],
        3 | 4 => &[Kind::Thin, Kind::Thin, Kind::Native],
        5 => &[Kind::Thin, Kind::Thin, Kind::Regular],
        6 if llvm >= 19 && chance(random, 50) => &[Kind::Thin, Kind::Fat, Kind::Native],
        _ => &[Kind::Thin, Kind::Thin, Kind::Regular, Kind::Native],
    };
    let count = 3 + random.below(7);
    // C++ modules have the more in common the more there are.
    let cpp = *random.pick(&[8, 8, 8, 60]);
    let one = |number| Module {
        number,
        kind: *random.pick(kinds),
        cpp: chance(random, cpp),
        level: random.pick::<&str>(&["-O0", "-O1", "-O2", "-O2", "-O2"]),
        sections: chance(random, 50),
        items: Vec::new(),
        declared: BTreeMap::new(),
    };
    let mut modules: Vec<Module> = (0..count).map(one).collect();
    // Something to distribute, in any case.
    if modules.iter().all(|module| module.kind != Kind::Thin) {
        modules[0].kind = Kind::Thin;
    }
    modules
}

/// The first module stands by itself, the others do or come in groups.
pub fn groups(random: &mut Random, program: &mut Program) {
    let mut groups = vec![Group {
        shape: Shape::Objects,
        members: vec![0],
    }];
    let collected = 1 + random.below(3);
    for _ in 0..collected {
        let shape = match random.below(10) {
            0 | 1 => Shape::Lib,
            2 | 3 if !program.output.is_static() && program.output != Output::Relocatable => Shape::Shared {
                as_needed: chance(random, 50),
            },
            _ => Shape::Archive {
                thin: chance(random, 25),
                whole: chance(random, 15),
                same_names: chance(random, 15),
            },
        };
        groups.push(Group {
            shape,
            members: Vec::new(),
        });
    }
    for module in 1..program.modules.len() {
        if chance(random, 40) {
            groups.push(Group {
                shape: Shape::Objects,
                members: vec![module],
            });
        } else {
            groups[1 + random.below(collected)].members.push(module);
        }
    }
    groups.retain(|group| !group.members.is_empty());
    let mut order: Vec<usize> = (0..groups.len()).collect();
    // Archives named twice are common where they refer to one another.
    for (at, group) in groups.iter().enumerate() {
        if matches!(group.shape, Shape::Archive { whole: false, .. }) && chance(random, 20) {
            order.push(at);
        }
    }
    for at in (1..order.len()).rev() {
        order.swap(at, random.below(at + 1));
    }
    let grouped = chance(random, 10);
    for group in order {
        let scripted = groups[group].shape != Shape::Lib && chance(random, 8);
        program.inputs.push(Input {
            group,
            script: scripted.then(|| *random.pick(&["INPUT", "GROUP"])),
            searched: groups[group].has_library() && chance(random, 15),
            grouped: grouped && matches!(groups[group].shape, Shape::Archive { .. }),
        });
    }
    program.groups = groups;
}
