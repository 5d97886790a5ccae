#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| edm_agent_fuzz::signature::check(data));
