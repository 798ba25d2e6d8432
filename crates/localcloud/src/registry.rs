//! The local image registry (CNCF distribution) and the images that are built for it here, without a container engine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;

use crate::command::{find, line, output};
use crate::fabric::Fabric;
use crate::http::{self, Answer};
use crate::image::{Image, Layer, hex_digest};
use crate::layout::{Layout, REGISTRY_PORT};
use crate::process::{self, Spec};

/// Name of the process.
pub(crate) const NAME: &str = "registry";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Where the registry listens: the bridge's address, so that hosts and this machine see it under one name.
pub(crate) fn address(fabric: Fabric) -> SocketAddr {
    (fabric.bridge_address(), REGISTRY_PORT).into()
}

/// Starts the registry if it does not run.
pub(crate) fn up(layout: &Layout, fabric: Fabric, logger: &Path) -> anyhow::Result<()> {
    let address = address(fabric);
    let storage = layout.state.join("registry");
    std::fs::create_dir_all(&storage)?;
    let config = layout.state.join("config/registry.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage:\n  filesystem: {{rootdirectory: {:?}}}\n  delete: {{enabled: true}}\n  cache: {{blobdescriptor: inmemory}}\n\
         http: {{addr: \"{address}\", secret: {:?}}}\n",
        storage,
        crate::pki::password(&layout.pki("registry.secret"))?
    );
    Layout::write_secret(&config, text.as_bytes())?;
    if process::pid(layout, NAME).is_none() {
        let program = find("docker-registry").context("docker-registry is not installed")?;
        let spec = Spec {
            name: NAME.into(),
            program,
            arguments: vec!["serve".into(), config.display().to_string()],
            environment: vec![("OTEL_TRACES_EXPORTER".into(), "none".into())],
            namespace: None,
            user: None,
            logger: logger.to_owned(),
        };
        process::start(layout, &spec)?;
    }
    let answers = || http::request(address, "GET", "/v2/", &[], &[]).is_ok_and(|a| a.status == 200);
    if !process::wait(Duration::from_secs(30), answers) {
        bail!("the registry does not answer on {address}; its log ends with\n{}", process::log_tail(layout, NAME));
    }
    Ok(())
}

/// Stops the registry.
pub(crate) fn down(layout: &Layout) {
    process::stop(layout, NAME, Signal::SIGTERM, Duration::from_secs(10));
}

/// Builds the demonstration and sandbox images and pushes those that the registry does not have.
pub(crate) fn push_images(layout: &Layout, fabric: Fabric, sources: &Path) -> anyhow::Result<()> {
    let registry = address(fabric);
    let busybox = busybox_layer()?;
    let web = compile(layout, sources, "web")?;
    let pause = compile(layout, sources, "pause")?;
    let mut web_layer = Layer::default();
    web_layer.file("bin/web", 0o755, std::fs::read(&web)?);
    let mut pause_layer = Layer::default();
    pause_layer.file("pause", 0o755, std::fs::read(&pause)?);
    let images = [
        Image { name: "pause", layers: vec![pause_layer], command: &["/pause"], port: None },
        Image { name: "demo/busybox", layers: vec![busybox.clone()], command: &["sh"], port: None },
        Image { name: "demo/web", layers: vec![busybox, web_layer], command: &["/bin/web"], port: Some(80) },
    ];
    for image in &images {
        push(registry, image, "1").with_context(|| format!("can't push {}:1", image.name))?;
    }
    Ok(())
}

/// Compiles one of `tests/images` into a static program, unless it was and its source is the same.
fn compile(layout: &Layout, sources: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let source = sources.join(name).join("main.rs");
    let text = std::fs::read(&source).with_context(|| format!("can't read {}", source.display()))?;
    let directory = layout.state.join("images");
    std::fs::create_dir_all(&directory)?;
    let program = directory.join(format!("{name}-{}", &hex_digest(&text)[..16]));
    if !program.exists() {
        let fresh = directory.join(format!("{name}.new"));
        let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        command.args(["--edition", "2024", "-C", "opt-level=s", "-C", "strip=symbols", "-C", "panic=abort"]);
        command.args(["-C", "target-feature=+crt-static", "-o"]).arg(&fresh).arg(&source);
        output(command).with_context(|| format!("can't compile {}", source.display()))?;
        std::fs::rename(&fresh, &program)?;
    }
    Ok(program)
}

/// A small root file system: busybox under all its names.
fn busybox_layer() -> anyhow::Result<Layer> {
    let busybox = find("busybox").context("busybox-static is not installed")?;
    let applets = line(&format!("{} --list", busybox.display()))?;
    let mut layer = Layer::default();
    for (directory, mode) in [
        ("bin", 0o755),
        ("dev", 0o755),
        ("etc", 0o755),
        ("home", 0o755),
        ("proc", 0o755),
        ("root", 0o700),
        ("run", 0o755),
        ("sys", 0o755),
        ("tmp", 0o1777),
        ("usr", 0o755),
        ("usr/bin", 0o755),
        ("var", 0o755),
        ("var/tmp", 0o1777),
    ] {
        layer.directory(directory, mode);
    }
    layer.file("bin/busybox", 0o755, std::fs::read(&busybox)?);
    for applet in applets.split_whitespace().filter(|a| *a != "busybox") {
        layer.link(&format!("bin/{applet}"), "busybox");
    }
    layer.link("usr/bin/env", "../../bin/busybox");
    let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
    layer.file("etc/passwd", 0o644, passwd.into());
    layer.file("etc/group", 0o644, "root:x:0:\nnogroup:x:65534:\n".into());
    Ok(layer)
}

fn push(registry: SocketAddr, image: &Image, tag: &str) -> anyhow::Result<()> {
    let (config, manifest) = image.documents();
    let path = format!("/v2/{}/manifests/{tag}", image.name);
    let digest = format!("sha256:{}", hex_digest(&manifest));
    let present = http::request(registry, "HEAD", &path, &[("accept", MANIFEST)], &[])?;
    if present.status == 200 && present.header("docker-content-digest") == Some(&digest) {
        return Ok(());
    }
    for layer in &image.layers {
        push_blob(registry, image.name, &layer.tar())?;
    }
    push_blob(registry, image.name, &config)?;
    let answer = http::request(registry, "PUT", &path, &[("content-type", MANIFEST)], &manifest)?;
    expect(&answer, 201)
}

fn push_blob(registry: SocketAddr, name: &str, blob: &[u8]) -> anyhow::Result<()> {
    let digest = format!("sha256:{}", hex_digest(blob));
    if http::request(registry, "HEAD", &format!("/v2/{name}/blobs/{digest}"), &[], &[])?.status == 200 {
        return Ok(());
    }
    let begun = http::request(registry, "POST", &format!("/v2/{name}/blobs/uploads/"), &[], &[])?;
    expect(&begun, 202)?;
    let location = begun.header("location").context("the registry names no place to upload to")?;
    // It answers with an absolute URL of its own address.
    let path = location.strip_prefix(&format!("http://{registry}")).unwrap_or(location);
    ensure!(path.starts_with('/'), "the registry wants an upload to {location}");
    let separator = if path.contains('?') { '&' } else { '?' };
    let headers = [("content-type", "application/octet-stream")];
    let put = http::request(registry, "PUT", &format!("{path}{separator}digest={digest}"), &headers, blob)?;
    expect(&put, 201)
}

fn expect(answer: &Answer, status: u16) -> anyhow::Result<()> {
    ensure!(answer.status == status, "the registry answers {}: {}", answer.status, answer.text().trim());
    Ok(())
}
