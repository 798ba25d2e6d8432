//! Image garbage collection: when the image disk fills, images that no container uses go, oldest use first.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::context::Shared;

/// Source: the kubelet's `ImageGCPeriod`.
const PERIOD: Duration = Duration::from_secs(300);

/// Collects until the agent stops.
pub async fn run(context: Shared) {
    let mut last_used: HashMap<String, Instant> = HashMap::new();
    while context.stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        if let Err(error) = collect(&context, &mut last_used).await {
            tracing::warn!(error = error.message(), "images cannot be collected");
        }
    }
}

async fn collect(context: &Shared, last_used: &mut HashMap<String, Instant>) -> Result<(), tonic::Status> {
    let limits = &context.config.images;
    let images = context.cri.list_images().await?;
    let (_, containers) = context.cri.list().await?;
    let used: HashSet<String> = containers
        .iter()
        .flat_map(|c| [Some(c.image_ref.clone()), c.image.as_ref().map(|i| i.image.clone())])
        .flatten()
        .collect();
    let now = Instant::now();
    let in_use = |image: &crate::cri::v1::Image| {
        let names = || image.repo_tags.iter().chain(&image.repo_digests).chain([&image.id]);
        image.pinned || names().any(|n| used.contains(n) || limits.keep.contains(n))
    };
    for image in &images {
        let entry = last_used.entry(image.id.clone()).or_insert(now);
        if in_use(image) {
            *entry = now;
        }
    }
    last_used.retain(|id, _| images.iter().any(|i| &i.id == id));
    let Some(disk) = context.cri.image_mountpoint().await? else { return Ok(()) };
    let percent = || used_percent(&disk);
    if percent().is_none_or(|p| p < limits.high_percent) {
        return Ok(());
    }
    let mut idle: Vec<_> = images.iter().filter(|i| !in_use(i)).collect();
    idle.sort_by_key(|i| last_used.get(&i.id).copied());
    for image in idle {
        if percent().is_none_or(|p| p < limits.low_percent) {
            break;
        }
        tracing::info!(image = image.id, size_bytes = image.size, "unused image is removed");
        context.cri.remove_image(&image.id).await?;
    }
    Ok(())
}

fn used_percent(path: &std::path::Path) -> Option<u64> {
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    let (total, free) = (stat.blocks(), stat.blocks_available());
    (total > 0).then(|| (total - free.min(total)) * 100 / total)
}
