//! Closed-loop load: so many connections, each sending its next request when the last is answered.

use crate::{client::Connection, process::Cpu, rig::Rig, stats::Samples, token::Bearer};
use anyhow::Context;
use bytes::Bytes;
use http::Method;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Barrier, task::JoinSet};

/// How long requests are made before any is counted.
const WARM: Duration = Duration::from_millis(1000);

/// What each connection sends: the method, and path and body by connection and number of the request.
pub(crate) struct Shape {
    /// Method of all requests.
    pub(crate) method: Method,
    /// Path and body.
    pub(crate) make: Box<dyn Fn(usize, usize) -> (String, Bytes) + Send + Sync>,
}

/// What came of it.
pub(crate) struct Outcome {
    /// Time of each request.
    pub(crate) samples: Samples,
    /// How long all was going on.
    pub(crate) took: Duration,
    /// CPU time of the servers meanwhile.
    pub(crate) cpu: Cpu,
}

impl Outcome {
    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        self.samples.len() as f64 / self.took.as_secs_f64()
    }

    /// CPU time of the servers for one request, in milliseconds.
    pub(crate) fn cpu_ms(&self) -> f64 {
        self.cpu.each_ms(self.samples.len())
    }

    /// All of it, for people.
    pub(crate) fn summary(&self) -> String {
        let (rate, cpu) = (self.rate(), self.cpu_ms());
        format!("{rate:.0}/s, {}, {cpu:.3} ms of CPU each ({})", self.samples.summary(), self.cpu)
    }
}

/// Loads the gateway for a time.
pub(crate) async fn run(
    rig: &Rig,
    bearer: &Bearer,
    connections: usize,
    time: Duration,
    shape: Shape,
) -> anyhow::Result<Outcome> {
    let (shape, barrier) = (Arc::new(shape), Arc::new(Barrier::new(connections + 1)));
    let mut tasks = JoinSet::new();
    for number in 0..connections {
        let connection = rig.gateway.connect(bearer).await.context("can't connect")?;
        tasks.spawn(one(connection, number, time, Arc::clone(&shape), Arc::clone(&barrier)));
    }
    // The first ends the warming up, the second the measurement.
    barrier.wait().await;
    let (begin, before) = (Instant::now(), rig.cpu()?);
    let mut samples = Samples::default();
    barrier.wait().await;
    let (took, cpu) = (begin.elapsed(), rig.cpu()? - before);
    while let Some(done) = tasks.join_next().await {
        samples.merge(done??);
    }
    Ok(Outcome { samples, took, cpu })
}

async fn one(
    mut connection: Connection,
    number: usize,
    time: Duration,
    shape: Arc<Shape>,
    barrier: Arc<Barrier>,
) -> anyhow::Result<Samples> {
    let mut counter = 0;
    let warmed = requests(&mut connection, number, &mut counter, WARM.min(time), &shape).await;
    barrier.wait().await;
    // One that has failed still comes to the second meeting: the others must not wait for ever.
    let measured = match warmed {
        Ok(_) => requests(&mut connection, number, &mut counter, time, &shape).await,
        Err(error) => Err(error),
    };
    barrier.wait().await;
    measured
}

async fn requests(
    connection: &mut Connection,
    number: usize,
    counter: &mut usize,
    time: Duration,
    shape: &Shape,
) -> anyhow::Result<Samples> {
    let (begin, mut samples) = (Instant::now(), Samples::default());
    while begin.elapsed() < time {
        let (path, body) = (shape.make)(number, *counter);
        *counter += 1;
        let start = Instant::now();
        let answer = connection.call(shape.method.clone(), &path, "application/json", body).await?;
        samples.add(start.elapsed());
        answer.expect_success()?;
    }
    Ok(samples)
}

/// Makes `count` objects over `connections` connections, as fast as it goes.
pub(crate) async fn fill(
    rig: &Rig,
    bearer: &Bearer,
    connections: usize,
    count: usize,
    make: impl Fn(usize) -> (String, Bytes) + Send + Sync + 'static,
) -> anyhow::Result<()> {
    let make = Arc::new(make);
    let mut tasks = JoinSet::new();
    for first in 0..connections {
        let (mut connection, make) = (rig.gateway.connect(bearer).await?, Arc::clone(&make));
        tasks.spawn(async move {
            for number in (first..count).step_by(connections) {
                let (path, body) = make(number);
                connection.post(&path, body).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}
