use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::support::{assert_root, project};

/// The version that the packages of the tests upgrade to.
const NEXT: &str = "99.0.0";

/// No release: `make dist` refuses this.
const CONTACT: &str = "Jane Maintainer <jane@example.com> https://example.com/issues";

static PACKAGES: OnceLock<PathBuf> = OnceLock::new();

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (out, err) = (&output.stdout, &output.stderr);
    assert!(
        output.status.success(),
        "{command:?}\n{}\n{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    );
}

/// Both packages, in this version and a next one, of the programs under test.
fn packages() -> &'static Path {
    PACKAGES.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
        drop(fs::remove_dir_all(&folder));
        for version in [env!("CARGO_PKG_VERSION"), NEXT] {
            for kind in ["deb", "rpm"] {
                let mut build = Command::new(project(&format!("packaging/{kind}/build")));
                run(quick(&mut build).arg(version).arg(&folder));
            }
        }
        folder
    })
}

/// What makes packages of the programs under test, compressed as little as possible.
fn quick(build: &mut Command) -> &mut Command {
    build.env("PROGRAMS", programs()).env("CONTACT", CONTACT).env("DPKG_DEB_COMPRESSOR_LEVEL", "0")
}

/// Where the programs under test are.
fn programs() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sendmail-dkim")).parent().unwrap()
}

/// Runs a script of `tests/packaging` on a fresh host.
fn on_a_fresh_host(script: &str) {
    assert_root("packaging");
    run(Command::new(project("tests/packaging/inside")).arg(script).arg(packages()));
}

#[test]
#[ignore = "needs root"]
fn a_deb_leaves_no_moment_without_sendmail_and_no_trace() {
    on_a_fresh_host("deb-life");
}

#[test]
#[ignore = "needs root"]
fn the_commands_of_the_readme_lead_from_nothing_to_a_signed_message() {
    on_a_fresh_host("newcomer");
    // What a terminal shows meanwhile.
    let shown = fs::read_to_string(packages().join("session.txt")).unwrap();
    let file = project("docs/session.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(file, shown).unwrap();
    } else {
        assert_eq!(
            fs::read_to_string(file).unwrap(),
            shown,
            "make session writes docs/session.txt"
        );
    }
}

#[test]
#[ignore = "needs root"]
fn the_transcript_of_the_docs_is_what_its_commands_print() {
    assert_root("packaging");
    let mut inside = Command::new(project("tests/packaging/inside"));
    run(inside.arg("transcript").arg(packages()).env("KEEP", "UPDATE_EXPECT"));
}

#[test]
#[ignore = "needs root"]
fn the_mail_agent_beneath_may_be_exchanged() {
    on_a_fresh_host("deb-agents");
}

#[test]
#[ignore = "needs root"]
fn an_rpm_is_switched_by_alternatives_and_leaves_postfix_alone() {
    on_a_fresh_host("rpm-life");
}

#[test]
#[ignore = "needs root"]
fn each_generation_of_alternatives_keeps_postfix_started_and_its_links() {
    on_a_fresh_host("rpm-generations");
}

#[test]
#[ignore = "needs root"]
fn postfix_is_started_at_boot_with_either_choice() {
    on_a_fresh_host("rpm-boot");
}

#[test]
#[ignore = "needs root"]
fn make_uninstall_removes_what_make_install_installed() {
    on_a_fresh_host("make-life");
}

#[test]
#[ignore = "needs root"]
fn units_that_confine_callers_do_what_the_table_says() {
    on_a_fresh_host("units");
}

#[test]
#[ignore = "needs root"]
fn the_apparmor_abstraction_grants_all_that_a_submission_does() {
    on_a_fresh_host("apparmor");
}

#[test]
#[ignore = "needs root"]
fn the_selinux_module_gives_the_label_of_the_real_sendmail_and_no_more() {
    on_a_fresh_host("selinux");
}

#[test]
#[ignore = "needs root"]
fn packages_that_are_made_elsewhere_and_later_are_the_same() {
    assert_root("packaging");
    let mut again = Command::new(project("tests/packaging/reproducible"));
    run(quick(&mut again).arg("packages").arg(packages()));
}

#[test]
#[ignore = "needs root"]
fn lintian_rpmlint_and_mandoc_have_nothing_to_say() {
    on_a_fresh_host("judge");
}

#[test]
#[ignore = "needs root"]
fn lintian_and_rpmlint_of_debian_13_have_nothing_to_say() {
    assert_root("packaging");
    let mut judge = Command::new(project("tests/packaging/inside"));
    run(judge.arg("judge-newer").arg(packages()).env("LAYER", "build"));
}

#[test]
#[ignore = "needs root"]
fn what_a_help_shows_can_be_completed() {
    on_a_fresh_host("completions");
}
