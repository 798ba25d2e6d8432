//! The CNI plugin that containerd starts for each sandbox: asks the agent, which does the work.
//! Source: CNI specification 1.0.0.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use node_agent::network::cni::{self, Request, Response};
use serde_json::{Value, json};

/// A CNI error code with its text.
type Failure = (u32, String);

fn main() -> ExitCode {
    let mut input = String::new();
    let read = std::io::stdin().read_to_string(&mut input);
    let config: Value = serde_json::from_str(&input).unwrap_or_default();
    let version = config["cniVersion"].as_str().unwrap_or("0.4.0").to_owned();
    let done = match read {
        Ok(_) => run(&config, &version),
        Err(error) => Err((cni::IO_FAILURE, format!("can't read the configuration: {error}"))),
    };
    let (output, code) = match done {
        Ok(output) => (output, ExitCode::SUCCESS),
        Err((code, message)) => (Some(cni::error(&version, code, &message)), ExitCode::FAILURE),
    };
    match output.map(|output| writeln!(std::io::stdout(), "{output}")) {
        Some(Err(_)) => ExitCode::FAILURE,
        _ => code,
    }
}

fn run(config: &Value, version: &str) -> Result<Option<Value>, Failure> {
    let command = variable("CNI_COMMAND")?;
    if command == "VERSION" {
        return Ok(Some(json!({"cniVersion": version, "supportedVersions": cni::VERSIONS})));
    }
    if !config.is_object() {
        return Err((cni::DECODING_FAILURE, "the configuration is no JSON object".into()));
    }
    if !cni::VERSIONS.contains(&version) {
        return Err((1, format!("CNI version {version} is not supported")));
    }
    let socket = config["socket"].as_str().ok_or((cni::INVALID_CONFIG, "the configuration has no socket".into()))?;
    match command.as_str() {
        "ADD" => add(Path::new(socket), version).map(Some),
        "DEL" => delete(Path::new(socket)).map(|()| None),
        "CHECK" => ask(Path::new(socket), &request("CHECK", None)?).map(|_| None),
        other => Err((cni::INVALID_ENVIRONMENT, format!("CNI_COMMAND {other:?} is not supported"))),
    }
}

fn add(socket: &Path, version: &str) -> Result<Value, Failure> {
    let netns = variable("CNI_NETNS")?;
    // Kept open until the agent has answered: it opens the namespace through this process.
    let open =
        File::open(&netns).map_err(|e| (cni::INVALID_ENVIRONMENT, format!("can't open CNI_NETNS {netns}: {e}")))?;
    let request = request("ADD", Some(&open))?;
    match ask(socket, &request)? {
        Some(address) => Ok(cni::result(version, &request, address)),
        None => Err((cni::FAILED, "the agent gave no address".into())),
    }
}

/// DEL never fails for want of the agent: it disconnects what is gone when it is back.
fn delete(socket: &Path) -> Result<(), Failure> {
    let request = request("DEL", None)?;
    if let Err((_, message)) = ask(socket, &request) {
        eprintln!("{}: sandbox {} is left to the agent: {message}", cni::PLUGIN, request.container_id);
    }
    Ok(())
}

fn request(command: &str, netns: Option<&File>) -> Result<Request, Failure> {
    let arguments = std::env::var("CNI_ARGS").unwrap_or_default();
    let path = std::env::var("CNI_NETNS").unwrap_or_default();
    let open = netns.map(|file| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
    Ok(Request {
        command: command.to_owned(),
        container_id: variable("CNI_CONTAINERID")?,
        pod_uid: cni::arguments(&arguments).get("K8S_POD_UID").copied().unwrap_or_default().to_owned(),
        open: open.map_or_else(|| PathBuf::from(&path), PathBuf::from),
        netns: path.into(),
        interface: variable("CNI_IFNAME")?,
    })
}

fn ask(socket: &Path, request: &Request) -> Result<Option<std::net::Ipv4Addr>, Failure> {
    let asked = || -> std::io::Result<Response> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(cni::ANSWER_TIMEOUT))?;
        stream.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    match asked() {
        Ok(Response::Done { address }) => Ok(address),
        Ok(Response::Failed { code, message }) => Err((code, message)),
        Err(error) => {
            let message = format!("the node agent does not answer on {}: {error}", socket.display());
            Err((cni::TRY_AGAIN, message))
        }
    }
}

fn variable(name: &str) -> Result<String, Failure> {
    let value = std::env::var(name).unwrap_or_default();
    if value.is_empty() { Err((cni::INVALID_ENVIRONMENT, format!("{name} is not set"))) } else { Ok(value) }
}
