//! Container images as data: layers as deterministic tar files, the OCI config and manifest that name them.

use serde_json::json;

/// Bytes of one tar block.
const BLOCK: usize = 512;

/// An image to be pushed.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    pub(crate) name: &'a str,
    pub(crate) layers: Vec<Layer>,
    pub(crate) command: &'a [&'a str],
    pub(crate) port: Option<u16>,
}

impl Image<'_> {
    /// The image's config and manifest. Equal images give equal bytes.
    pub(crate) fn documents(&self) -> (Vec<u8>, Vec<u8>) {
        const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let tars: Vec<Vec<u8>> = self.layers.iter().map(Layer::tar).collect();
        let digest = |bytes: &[u8]| format!("sha256:{}", hex_digest(bytes));
        let mut config = json!({
            "architecture": architecture(), "os": "linux",
            "config": {"Cmd": self.command, "Env": [PATH], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": tars.iter().map(|t| digest(t)).collect::<Vec<_>>()},
        });
        if let Some(port) = self.port {
            config["config"]["ExposedPorts"] = json!({format!("{port}/tcp"): {}});
        }
        let config = config.to_string().into_bytes();
        let descriptor = |kind: &str, bytes: &[u8]| json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest(bytes), "size": bytes.len()});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("config.v1+json", &config),
            "layers": tars.iter().map(|t| descriptor("layer.v1.tar", t)).collect::<Vec<_>>(),
        });
        (config, manifest.to_string().into_bytes())
    }
}

/// One layer: entries in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer(Vec<u8>);

impl Layer {
    /// Adds a directory.
    pub(crate) fn directory(&mut self, path: &str, mode: u32) {
        self.header(&format!("{path}/"), mode, 0, b'5', "");
    }

    /// Adds a file of root's.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        self.header(path, mode, content.len(), b'0', "");
        self.0.extend(&content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.header(path, 0o777, 0, b'2', target);
    }

    /// The tar file.
    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut tar = self.0.clone();
        tar.resize(tar.len() + 2 * BLOCK, 0);
        tar
    }

    /// Source of the layout: POSIX.1-1988 ustar. Times are zero, so that equal content is equal bytes.
    fn header(&mut self, path: &str, mode: u32, size: usize, kind: u8, target: &str) {
        assert!(path.len() <= 100 && target.len() <= 100, "ustar's short names suffice here");
        let mut block = [0u8; BLOCK];
        let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, path);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{size:011o}"));
        put(136, "00000000000");
        put(148, "        ");
        put(157, target);
        put(257, "ustar\u{0}00");
        block[156] = kind;
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(block);
    }
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn hex_digest(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// Go's name of this machine's architecture, as image configs have it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tar_is_read_by_tar() {
        let mut layer = Layer::default();
        layer.directory("tmp", 0o1777);
        layer.file("etc/passwd", 0o644, b"root".to_vec());
        layer.link("bin/sh", "busybox");
        let mut command = std::process::Command::new("tar");
        command.args(["--numeric-owner", "-tvf", "-"]);
        let listing = crate::command::feed(command, &layer.tar()).unwrap();
        assert!(listing.contains("drwxrwxrwt 0/0") && listing.contains("bin/sh -> busybox"), "{listing}");
        let words: Vec<&str> = listing.split_whitespace().collect();
        assert!(words.windows(3).any(|w| w == ["-rw-r--r--", "0/0", "4"]), "{listing}");
    }

    #[test]
    fn equal_images_have_equal_documents() {
        let image = || {
            let mut layer = Layer::default();
            layer.file("a", 0o644, vec![1; 700]);
            Image { name: "a", layers: vec![layer], command: &["/a"], port: Some(80) }
        };
        assert_eq!(image().documents(), image().documents());
    }
}
