#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho_checks_fuzz::run("kpasswd", bytes));
