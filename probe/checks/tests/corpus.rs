//! Every input of the fuzzer's corpus, and every one that once broke something, goes through its target.

#[path = "../fuzz/src/targets.rs"]
mod targets;

#[cfg(test)]
mod replay {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;

    use super::targets::TARGETS;

    fn corpus() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
    }

    fn names(folder: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn nothing_in_the_corpus_breaks_its_target() {
        for (name, target) in TARGETS {
            let mut accepted = 0;
            for entry in fs::read_dir(corpus().join(name)).unwrap() {
                accepted += usize::from(target(&fs::read(entry.unwrap().path()).unwrap()));
            }
            assert!(accepted > 0, "{name}: nothing in its corpus is accepted");
        }
    }

    #[test]
    fn every_target_has_a_corpus_and_a_fuzz_target() {
        let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names("fuzz/corpus"), targets);
        assert_eq!(names("fuzz/fuzz_targets"), targets);
    }
}
