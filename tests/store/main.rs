//! The store as its users meet it: opened, written, read, closed, killed.
//!
//! Its own small harness, because the crash test starts this binary again as its victim ([`crash::VICTIM`]). Arguments that are no options
//! select tests by name, as with `cargo test --test store crash`.

#![allow(clippy::unwrap_used)]

mod crash;
mod semantics;

/// A test by name.
type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("reopen_keeps_state", semantics::reopen_keeps_state),
    ("compare_and_swap", semantics::compare_and_swap),
    ("malformed_is_refused", semantics::malformed_is_refused),
    ("gone_after_compaction", semantics::gone_after_compaction),
    ("watch_in_order", semantics::watch_in_order),
    ("list_is_one_revision", semantics::list_is_one_revision),
    (
        "second_opener_is_refused",
        semantics::second_opener_is_refused,
    ),
    ("idle_writes_nothing", semantics::idle_writes_nothing),
    ("purged_log_reopens", semantics::purged_log_reopens),
    ("closed_refuses_writes", semantics::closed_refuses_writes),
    ("large_objects_reopen", semantics::large_objects_reopen),
    ("full_disk_as_root", semantics::full_disk_as_root),
    ("kill_200_times", crash::kill_200_times),
];

fn main() {
    if let Some(dir) = std::env::var_os(crash::VICTIM) {
        crash::victim(dir.as_ref());
        return;
    }
    let mut options = std::env::args().skip(1);
    let filters: Vec<String> = options.by_ref().filter(|a| !a.starts_with('-')).collect();
    if std::env::args().any(|a| a == "--list") {
        for (name, _) in TESTS {
            println!("{name}: test");
        }
        return;
    }
    let mut failed = 0;
    let mut run = 0;
    for (name, test) in TESTS {
        if !filters.is_empty() && !filters.iter().any(|f| name.contains(f.as_str())) {
            continue;
        }
        run += 1;
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    println!("\ntest result: {} passed; {failed} failed", run - failed);
    std::process::exit(i32::from(failed > 0));
}
