//! Where a pod finds the certificate authorities that its settings (`worker.caBundle`) add to those of the image.

/// The folder that is mounted.
pub const AUTHORITIES: &str = "/authorities";
/// The file in it.
pub const BUNDLE: &str = "bundle.pem";
/// The variable by which the libraries of TLS know the folder. What is in it counts beside the file of `SSL_CERT_FILE`.
pub const FOLDER_VARIABLE: &str = "SSL_CERT_DIR";
/// The variable that says, for people, what the bundle was to be made of.
pub const ORIGIN_VARIABLE: &str = "BACKFLOW_CA_BUNDLE";
