//! Programs of others that tests run. The tests of builds have this file too.

/// Whether programs can be run here: as root, where these are installed. Says so where not.
pub fn can_run(test: &str, programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |program: &&&str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if let Some(missing) = programs.iter().find(|program| !is_there(program)) {
        eprintln!("SKIPPED: {test}: no {missing} here");
        return false;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: {test}: needs root");
        return false;
    }
    true
}
