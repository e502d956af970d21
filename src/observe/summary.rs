//! One line a link for people, where they ask for it (`THINLTO_LD_SUMMARY`): what became of it, of how many modules, in what time.
//! Knows nothing of how the figures came about.

use super::stats::{LinkMode, OutputState, Stats};

/// `thinlto-ld: prog: distributed, 12 of 783 modules compiled, 771 from the cache, 3.2 s (thin link 0.4, backends 2.1, final link 0.7)`
pub fn of(stats: &Stats) -> String {
    let what = match (stats.mode, &stats.reason) {
        (LinkMode::Distributed, _) if stats.output_state == Some(OutputState::Restored) => {
            format!(
                "put back as it was made, {} modules, {}",
                stats.modules,
                seconds(stats.ms.total)
            )
        }
        (LinkMode::Distributed, _) => format!("distributed, {}{}", modules(stats), phases(stats)),
        (LinkMode::Distributor, _) => format!("backends, {}", modules(stats)),
        (mode, reason) => {
            let mode = if mode == LinkMode::InProcess {
                "in-process"
            } else {
                "passthrough"
            };
            let reason = reason.as_deref().map(|reason| format!(": {reason}"));
            format!("{mode}{}", reason.unwrap_or_default())
        }
    };
    let failed = stats.exit.is_some_and(|status| status != 0);
    let failed = if failed { ", failed" } else { "" };
    format!("thinlto-ld: {}: {what}{failed}\n", stats.output)
}

fn modules(stats: &Stats) -> String {
    let backends = &stats.backends;
    let compiled = backends.run + backends.remote;
    let cached = backends.cached + backends.remote_cached;
    let away = match backends.remote {
        0 => String::new(),
        remote => format!(" ({remote} by servers)"),
    };
    format!(
        "{compiled} of {} modules compiled{away}, {cached} from the cache, {}",
        stats.modules,
        seconds(stats.ms.total)
    )
}

fn phases(stats: &Stats) -> String {
    let ms = &stats.ms;
    let last = ms.final_link.map(|last| format!(", final link {}", seconds(last)));
    format!(
        " (thin link {}, backends {}{})",
        seconds(ms.thin_link),
        seconds(ms.backends),
        last.unwrap_or_default()
    )
}

fn seconds(ms: f64) -> String {
    format!("{:.2} s", ms / 1e3)
}
