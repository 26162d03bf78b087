use std::path::Path;

use crate::support::{Sandbox, built, copy_program};

/// `-cpu Nehalem` has no ADX, no BMI2 and no AVX2; `-cpu max` has all that an emulated processor can have.
#[test]
#[ignore = "needs root"]
#[cfg(target_arch = "x86_64")]
fn a_processor_without_the_instructions_signs_by_the_other_crate() {
    let sandbox = Sandbox::own("processor");
    sandbox.key("sample.com", "s1");
    let qemu = Path::new(&built("tests/it/sandbox/qemu.sh")).join("qemu-x86_64");
    copy_program(qemu, sandbox.path("/opt/qemu-x86_64"));
    for (processor, is_fast) in [("Nehalem", false), ("max", cfg!(feature = "fast-rsa"))] {
        let recipient = sandbox.recipient();
        // What is executed instead of the wrapper is not emulated.
        let qemu = format!("/opt/qemu-x86_64 -cpu {processor} -d strace -D /opt/calls.{processor}");
        let script = format!("{qemu} /usr/sbin/sendmail.dkim -i {recipient}");
        let output = sandbox.sh("root", &script, b"From: a@sample.com\nSubject: x\n\nx\n");
        assert!(output.status.success(), "{processor}: {output:?}");
        sandbox.assert_signed(&sandbox.received(&recipient), "sample.com", "s1");
        // The `rsa` crate blinds with random numbers; one call is of malloc(3).
        let path = sandbox.path(&format!("/opt/calls.{processor}"));
        let calls = std::fs::read_to_string(path).unwrap();
        let random = calls.matches("getrandom(").count();
        assert!(random > 0, "{processor}: {calls}");
        assert_eq!(random == 1, is_fast, "{processor}: {random}\n{calls}");
    }
}
