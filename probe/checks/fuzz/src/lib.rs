//! The targets of the fuzzer. Each has a file in `fuzz_targets/` and a folder in `corpus/`.

mod targets;

/// Runs the target of that name.
pub fn run(name: &str, bytes: &[u8]) {
    for (known, target) in targets::TARGETS {
        if known == name {
            target(bytes);
        }
    }
}
