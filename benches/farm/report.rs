//! The simulator's answers as Markdown. Knows nothing of how they are come by.

use std::fmt::Write;

use crate::farm::{Farm, Hands};
use crate::model::{self, Outcome};
use crate::recording::{Made, Recording};

/// A table for each engine: a row for each number of workers, a column for each size.
pub fn tables(link: &Recording, farms: &[Farm], sizes: &[usize], hands: &[Hands]) -> String {
    let mut text = told(link);
    let links: Vec<Recording> = sizes.iter().map(|modules| link.scaled(*modules)).collect();
    for farm in farms {
        let _ = write!(text, "\n### {}\n{}.\n\n| workers |", farm.name, farm.source);
        for size in sizes {
            let _ = write!(text, " {} modules | bound by |", thousands(*size));
        }
        text.push_str("\n| --- |");
        text.push_str(&" --- | --- |".repeat(sizes.len()));
        text.push('\n');
        for hands in hands {
            let label = match hands.workers {
                0 => format!("none, {} backends at once here", hands.local),
                workers => format!(
                    "{} × {}, and {} here",
                    thousands(workers),
                    farm.worker_slots,
                    hands.local
                ),
            };
            let _ = writeln!(
                text,
                "| {label} |{}",
                row(&links, |link| model::cold(link, farm, *hands))
            );
        }
        let label = "all in the action cache";
        let _ = writeln!(text, "| {label} |{}", row(&links, |link| model::cached(link, farm)));
    }
    text
}

fn told(link: &Recording) -> String {
    let tasks = || link.tasks.iter();
    let sum = |of: fn(&crate::recording::Task) -> u64| tasks().map(of).sum::<u64>() as f64 / 1e6;
    let longest = tasks().map(|task| task.seconds).fold(0.0, f64::max);
    format!(
        "{}, LLVM {}: {} modules, {:.1} s of backends (the longest {:.2} s), {:.2} s before them and {:.2} s after; \
         {:.1} MB of modules, {:.1} MB of indexes, {:.1} MB of objects, {:.1} imports a module.\n",
        link.name,
        link.llvm,
        link.tasks.len(),
        tasks().map(|task| task.seconds).sum::<f64>(),
        longest,
        link.before,
        link.after,
        sum(|task| task.work.module),
        sum(|task| task.work.index),
        sum(|task| task.work.object),
        tasks().map(|task| task.work.imports.len()).sum::<usize>() as f64 / link.tasks.len().max(1) as f64,
    )
}

fn row(links: &[Recording], outcome: impl Fn(&Recording) -> Outcome) -> String {
    let mut text = String::new();
    for link in links {
        let outcome = outcome(link);
        let _ = write!(text, " {} | {} |", wall(outcome.wall), outcome.bound.word());
    }
    text
}

/// How long links took that were really made, and what the recording says of them.
pub fn checked(link: &Recording, made: &[Made], farm: &Farm, hands: impl Fn(&Made) -> Hands) -> String {
    let mut text = told(link);
    text.push_str("\n| link | slots here | workers | backends, made | simulated | error |\n| --- | --- | --- | --- | --- | --- |\n");
    for real in made {
        let hands = hands(real);
        let simulated = model::cold(link, farm, hands);
        let error = simulated.backends / real.backends - 1.0;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.2} s | {:.2} s | {:+.1} % |",
            real.name,
            hands.local,
            hands.workers,
            real.backends,
            simulated.backends,
            error * 100.0
        );
    }
    text
}

fn wall(seconds: f64) -> String {
    match seconds {
        ..60.0 => format!("{seconds:.1} s"),
        ..3600.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<&str> = groups.filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}
