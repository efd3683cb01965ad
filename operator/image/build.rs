//! Links the program of the image so that it is smaller: functions that are alike are one, and addresses that are moved when the program
//! is loaded take a bit each.

fn main() {
    // For the linker of .cargo/config.toml.
    if std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "musl") {
        for argument in ["--icf=all", "--pack-dyn-relocs=relr"] {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
}
