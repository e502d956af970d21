//! The smallest program that still differs, as far as dropping one thing at a time leads.

use super::program::{Item, Program, Ref, Shape, Visibility};

/// Programs with one thing less than `program`, larger things first.
fn smaller(program: &Program) -> Vec<Program> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Program)| {
        let mut copy = program.clone();
        change(&mut copy);
        if copy != *program {
            all.push(copy);
        }
    };
    for at in 0..program.inputs.len() {
        with(&|copy| _ = copy.inputs.remove(at));
    }
    for group in 0..program.groups.len() {
        for member in 0..program.groups[group].members.len() {
            // An archive without members is another matter.
            if program.groups[group].members.len() > 1 {
                with(&|copy| _ = copy.groups[group].members.remove(member));
            }
        }
    }
    for at in 0..program.choices.len() {
        with(&|copy| _ = copy.choices.remove(at));
    }
    for module in 0..program.modules.len() {
        for item in 0..program.modules[module].items.len() {
            with(&|copy| _ = copy.modules[module].items.remove(item));
        }
    }
    for module in 0..program.modules.len() {
        for item in 0..program.modules[module].items.len() {
            for of in 0..program.modules[module].items[item].refs().len() {
                with(&|copy| {
                    if let Some(refs) = copy.modules[module].items[item].refs_mut() {
                        refs.remove(of);
                    }
                });
            }
        }
    }
    for group in 0..program.groups.len() {
        with(&|copy| {
            if let Shape::Archive { thin, same_names, .. } = &mut copy.groups[group].shape {
                (*thin, *same_names) = (false, false);
            }
        });
    }
    for at in 0..program.inputs.len() {
        with(&|copy| copy.inputs[at].script = None);
        with(&|copy| copy.inputs[at].searched = false);
        with(&|copy| copy.inputs[at].grouped = false);
    }
    for module in 0..program.modules.len() {
        with(&|copy| copy.modules[module].declared.clear());
        with(&|copy| copy.modules[module].sections = false);
        with(&|copy| {
            let module = &mut copy.modules[module];
            let mut refs = module.items.iter().flat_map(Item::refs);
            module.cpp &= refs.any(Ref::is_cpp);
        });
        for item in 0..program.modules[module].items.len() {
            with(&|copy| {
                if let Item::Define { visibility, .. } = &mut copy.modules[module].items[item] {
                    *visibility = Visibility::Default;
                }
            });
        }
    }
    all
}

/// Shrinks a program as long as the copy is still `wrong`, asking at most so many times. Modules that are no longer an
/// input's go as well.
pub fn shrink(program: &Program, most: usize, mut wrong: impl FnMut(&Program) -> bool) -> Program {
    let mut best = program.clone();
    let mut asked = 0;
    loop {
        let mut better = false;
        let mut candidates = smaller(&best);
        let mut at = 0;
        while at < candidates.len() && asked < most {
            asked += 1;
            let candidate = tidied(candidates[at].clone());
            if wrong(&candidate) {
                best = candidate;
                better = true;
                // What follows the thing dropped has about its place now.
                candidates = smaller(&best);
            } else {
                at += 1;
            }
        }
        if !better || asked >= most {
            return best;
        }
    }
}

/// Without groups that are no input, and modules that are in no group.
fn tidied(mut program: Program) -> Program {
    for group in (0..program.groups.len()).rev() {
        if program.inputs.iter().all(|input| input.group != group) {
            program.groups.remove(group);
            for input in &mut program.inputs {
                input.group -= usize::from(input.group > group);
            }
        }
    }
    for module in (0..program.modules.len()).rev() {
        if program.groups.iter().all(|group| !group.members.contains(&module)) {
            program.modules.remove(module);
            for member in program.groups.iter_mut().flat_map(|group| &mut group.members) {
                *member -= usize::from(*member > module);
            }
        }
    }
    program
}
