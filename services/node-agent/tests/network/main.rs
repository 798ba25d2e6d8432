//! Tenant networks on real namespaces: two hosts joined by a bridge, each with its own instance of the network part.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] functions too")]

mod world;

use std::io::{Read, Write};
use std::time::Duration;

use world::{World, network};

const H1: &str = "172.30.0.11";
const H2: &str = "172.30.0.12";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_of_a_network_meet_on_one_host_and_across_hosts() {
    let world = World::new();
    let (one, two) = (world.agent("h1").await, world.agent("h2").await);
    one.apply(network("red", 7, 1, &[("10.244.0.3", H2)])).await.unwrap();
    two.apply(network("red", 7, 1, &[("10.244.0.1", H1), ("10.244.0.2", H1)])).await.unwrap();
    world.pod(&one, "h1", "a", "red", "10.244.0.1").await;
    world.pod(&one, "h1", "b", "red", "10.244.0.2").await;
    world.pod(&two, "h2", "c", "red", "10.244.0.3").await;
    for (pod, name) in [("a", "a"), ("b", "b"), ("c", "c")] {
        world.serve(pod, "0.0.0.0:80", name).await;
    }
    let ask = async |from: &str, to: &str| world.ask(from, to).await.unwrap_or_default();
    assert_eq!(ask("a", "10.244.0.2:80").await, "b sees 10.244.0.1");
    assert_eq!(ask("a", "10.244.0.3:80").await, "c sees 10.244.0.1");
    assert_eq!(ask("c", "10.244.0.1:80").await, "a sees 10.244.0.3");
    assert_eq!(ask("a", "127.0.0.1:80").await, "a sees 127.0.0.1");
    assert_eq!(ask("a", "10.244.0.1:80").await, "a sees 10.244.0.1");
    assert_eq!(world.ask("a", "10.244.0.9:80").await, None);
    // More than a packet's worth, so that MTU and checksums matter.
    let mut stream = world.connect("a", "10.244.0.3:80").await.unwrap();
    let sent = vec![b'x'; 64 << 10];
    stream.write_all(&sent).unwrap();
    let mut received = vec![0; sent.len() + "c sees 10.244.0.1\n".len()];
    stream.read_exact(&mut received).unwrap();
    assert!(world.ip("-n {a} link show eth0").contains("mtu 1450"));
    // Probes come from the gateway.
    let stream = one.dial("a", 80, Duration::from_secs(1)).await.unwrap();
    assert_eq!(stream.local_addr().unwrap().ip().to_string(), "169.254.1.1");
    assert!(one.dial("c", 80, Duration::from_secs(1)).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_with_the_same_range_never_meet() {
    let world = World::new();
    let (one, two) = (world.agent("h1").await, world.agent("h2").await);
    one.apply(network("red", 7, 1, &[("10.244.0.2", H2)])).await.unwrap();
    two.apply(network("red", 7, 1, &[("10.244.0.1", H1)])).await.unwrap();
    one.apply(network("blue", 8, 1, &[("10.244.0.3", H2)])).await.unwrap();
    two.apply(network("blue", 8, 1, &[("10.244.0.1", H1)])).await.unwrap();
    world.pod(&one, "h1", "red1", "red", "10.244.0.1").await;
    world.pod(&two, "h2", "red2", "red", "10.244.0.2").await;
    world.pod(&one, "h1", "blue1", "blue", "10.244.0.1").await;
    world.pod(&two, "h2", "blue3", "blue", "10.244.0.3").await;
    for (pod, name) in [("red1", "red1"), ("red2", "red2"), ("blue1", "blue1"), ("blue3", "blue3")] {
        world.serve(pod, "0.0.0.0:80", name).await;
    }
    assert_eq!(world.ask("red2", "10.244.0.1:80").await.unwrap(), "red1 sees 10.244.0.2");
    assert_eq!(world.ask("blue3", "10.244.0.1:80").await.unwrap(), "blue1 sees 10.244.0.3");
    assert_eq!(world.ask("red1", "10.244.0.3:80").await, None);
    assert_eq!(world.ask("blue1", "10.244.0.2:80").await, None);
    // Nor by the uplinks: the hosts' ends and the other routers' are closed.
    world.serve("h1", "0.0.0.0:7000", "host").await;
    let uplinks = world.ip("-n {h1} -4 -o addr show");
    let mut tried = 0;
    for word in uplinks.split_whitespace().filter(|word| word.starts_with("169.254.")) {
        let host_end: std::net::Ipv4Addr = word.split('/').next().unwrap().parse().unwrap();
        let router_end = std::net::Ipv4Addr::from(u32::from(host_end) + 1);
        for target in [format!("{host_end}:7000"), format!("{router_end}:80")] {
            assert_eq!(world.ask("red1", &target).await, None, "{target}");
            tried += 1;
        }
    }
    assert_eq!(tried, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_reach_the_outside_and_their_api_and_nothing_of_the_platform() {
    let world = World::new();
    let (one, two) = (world.agent("h1").await, world.agent("h2").await);
    one.apply(network("red", 7, 1, &[])).await.unwrap();
    two.apply(network("red", 7, 1, &[])).await.unwrap();
    world.pod(&one, "h1", "a", "red", "10.244.0.1").await;
    world.serve("out", "0.0.0.0:80", "outside").await;
    world.serve("fab", "0.0.0.0:6443", "api").await;
    world.serve("fab", "0.0.0.0:7000", "control").await;
    world.serve("h1", "0.0.0.0:7000", "host").await;
    world.serve("h2", "0.0.0.0:7000", "other host").await;
    assert_eq!(world.ask("a", "203.0.113.2:80").await.unwrap(), format!("outside sees {H1}"));
    assert_eq!(world.ask("a", "10.96.0.1:443").await.unwrap(), format!("api sees {H1}"));
    // The hosts themselves may.
    assert_eq!(world.ask("h1", "172.30.0.1:7000").await.unwrap(), format!("control sees {H1}"));
    let closed = ["172.30.0.1:6443", "172.30.0.1:7000", "172.30.0.11:7000", "172.30.0.12:7000", "10.96.0.1:80"];
    for target in closed.into_iter().chain(["10.96.0.2:443", "169.254.169.254:80", "169.254.1.1:7000"]) {
        assert_eq!(world.ask("a", target).await, None, "{target}");
    }
    // Outside can't come in, even if it sends the packets to the right host.
    world.serve("a", "0.0.0.0:80", "a").await;
    world.ip("-n {fab} route add 10.244.0.0/16 via 172.30.0.11");
    assert_eq!(world.ask("out", "10.244.0.1:80").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn false_sources_are_dropped() {
    let world = World::new();
    let (one, two) = (world.agent("h1").await, world.agent("h2").await);
    one.apply(network("red", 7, 1, &[("10.244.0.3", H2)])).await.unwrap();
    two.apply(network("red", 7, 1, &[("10.244.0.1", H1), ("10.244.0.2", H1)])).await.unwrap();
    world.pod(&one, "h1", "a", "red", "10.244.0.1").await;
    world.pod(&one, "h1", "b", "red", "10.244.0.2").await;
    world.pod(&two, "h2", "c", "red", "10.244.0.3").await;
    let b = ("b", "10.244.0.2");
    assert!(world.datagram(("a", "10.244.0.1"), b).await);
    assert!(world.datagram(("c", "10.244.0.3"), b).await);
    world.ip("-n {a} addr add 10.244.0.3/32 dev eth0");
    world.ip("-n {a} addr add 192.0.2.1/32 dev eth0");
    assert!(!world.datagram(("a", "10.244.0.3"), b).await, "another pod's address");
    assert!(!world.datagram(("a", "192.0.2.1"), b).await, "a made-up address");
    assert!(!world.datagram(("a", "192.0.2.1"), ("out", "203.0.113.2")).await, "a made-up address, outwards");
    // Overlay packets from somebody who is no host of the network: the outside knows VNI and addresses.
    world.ip("-n {fab} link add vx type vxlan id 7 dstport 4789 local 172.30.0.1 remote 172.30.0.11");
    world.ip("-n {fab} link set vx address 02:68:ac:1e:00:0c up");
    world.ip("-n {fab} addr add 10.244.0.3/32 dev vx");
    world.ip("-n {fab} route add 10.244.0.2/32 dev vx src 10.244.0.3");
    world.ip("-n {fab} neigh add 10.244.0.2 lladdr 02:68:ac:1e:00:0b dev vx");
    assert!(!world.datagram(("fab", "10.244.0.3"), b).await, "injected into the overlay");
    // The check itself works: without the host's rules such a packet would arrive.
    let host = world.path("h1");
    assert!(
        std::process::Command::new("nsenter")
            .arg(format!("--net={}", host.display()))
            .args(["nft", "delete", "table", "ip", "hako-host"])
            .status()
            .unwrap()
            .success()
    );
    assert!(world.datagram(("fab", "10.244.0.3"), b).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_agent_takes_up_what_the_old_one_left() {
    let world = World::new();
    let (one, two) = (world.agent("h1").await, world.agent("h2").await);
    let red = network("red", 7, 5, &[("10.244.0.3", H2)]);
    one.apply(red.clone()).await.unwrap();
    two.apply(network("red", 7, 5, &[("10.244.0.1", H1), ("10.244.0.2", H1)])).await.unwrap();
    world.pod(&one, "h1", "a", "red", "10.244.0.1").await;
    world.pod(&two, "h2", "c", "red", "10.244.0.3").await;
    world.serve("c", "0.0.0.0:80", "c").await;
    world.serve("a", "0.0.0.0:80", "a").await;
    let mut stream = world.connect("a", "10.244.0.3:80").await.unwrap();
    drop(one);
    let (added, answer) = world.cni("h1", "ADD", "a").await;
    assert!(!added && answer.contains("the node agent does not answer"), "{answer}");
    assert!(world.cni("h1", "DEL", "nobody").await.0);
    echo(&mut stream, "without an agent");

    // Damage of all kinds, and a stranger.
    let router = world.router("h1", 7);
    world.ip_in(&router, "link add p0af40063 type bridge");
    world.ip_in(&router, "link del overlay");
    world.ip_in(&router, "route del default");
    world.ip("-n {h1} link add hku999 type bridge");
    let one = world.agent("h1").await;
    echo(&mut stream, "with a new agent");
    assert!(!world.ip_in(&router, "link show").contains("p0af40063"));
    assert!(!world.ip("-n {h1} link show").contains("hku999"));
    assert!(world.ip_in(&router, "route show").contains("default via"));
    one.apply(red.clone()).await.unwrap();
    world.pod(&one, "h1", "b", "red", "10.244.0.2").await;
    assert_eq!(world.ask("b", "10.244.0.1:80").await.unwrap(), "a sees 10.244.0.2");
    assert!(world.cni("h1", "CHECK", "a").await.0);

    // Even a lost router comes back with its pods.
    drop(one);
    world.ip("-n {h1} link del hku7");
    nix::mount::umount2(&router, nix::mount::MntFlags::MNT_DETACH).unwrap();
    let one = world.agent("h1").await;
    assert_eq!(world.ask("b", "10.244.0.3:80").await.unwrap(), "c sees 10.244.0.2");

    // An older word of control changes nothing; a sync does, and takes away what is not in it.
    one.apply(network("red", 7, 4, &[])).await.unwrap();
    assert!(world.ask("b", "10.244.0.3:80").await.is_some());
    one.sync(&[network("red", 7, 1, &[])]).await.unwrap();
    assert!(world.ask("b", "10.244.0.3:80").await.is_none());
    one.sync(&[]).await.unwrap();
    assert!(router.exists(), "pods are connected still");
    assert!(world.cni("h1", "DEL", "a").await.0);
    assert!(world.cni("h1", "DEL", "a").await.0, "DEL may be repeated");
    one.forget("a").await;
    world.remove_namespace("b");
    one.forget("b").await;
    assert!(!router.exists(), "the last pod took the network along");
    assert!(!world.ip("-n {h1} link show").contains("hku"));
}

#[track_caller]
fn echo(stream: &mut std::net::TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
    let (mut received, mut buffer) = (String::new(), [0; 256]);
    while !received.ends_with(text) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "closed after {received:?}");
        received.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}
