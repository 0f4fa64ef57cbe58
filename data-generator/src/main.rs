//! The program around the library: settings, signals and what is shown.

mod args;
mod display;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::Context;
use clap::Parser;
use data_generator::{Produced, Progress, Settings, run};
use indicatif::HumanCount;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Args;
use crate::display::{Display, rate};

/// For librdkafka, too: it allocates a record on one thread and frees it on
/// another, which takes a third of the whole time with glibc's malloc.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let settings = Settings::from(Args::parse());
    let display = Display::new(&settings);
    match produce(&settings, &display) {
        Ok(produced) => {
            display.say(&summary(&settings, &produced));
            ExitCode::SUCCESS
        }
        Err(error) => {
            display.say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn produce(settings: &Settings, display: &Display) -> anyhow::Result<Produced> {
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(Arc::clone(&stop), display.clone())
        .context("cannot listen for Ctrl-C and SIGTERM")?;
    let progress = Progress::with_notes({
        let display = display.clone();
        move |note| display.say(note)
    });
    thread::scope(|threads| {
        let (running, finished) = mpsc::channel();
        threads.spawn(|| {
            // Owned here, since a receiver cannot be shared.
            let finished = finished;
            display.follow(&progress, &finished);
        });
        let produced = run(settings, &stop, &progress);
        drop(running);
        Ok(produced?)
    })
}

/// The first signal stops the run in order, the second one at once.
fn stop_on_signals(stop: Arc<AtomicBool>, display: Display) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if stop.swap(true, Ordering::Relaxed) {
                    display
                        .say("stopped at once: what was under way may or may not be in the topic");
                    std::process::exit(130);
                }
                display.say("stopping: delivering what is under way; once more stops at once");
            }
        });
    });
    Ok(())
}

fn summary(settings: &Settings, produced: &Produced) -> String {
    let malformed = match produced.malformed {
        0 => String::new(),
        malformed => format!(", {} of them malformed", HumanCount(malformed)),
    };
    format!(
        "delivered {} records{malformed} to {} partitions of topic {} in {:.1} s, {} a second",
        HumanCount(produced.delivered),
        produced.partitions,
        settings.topic,
        produced.elapsed.as_secs_f64(),
        HumanCount(rate(produced.delivered, produced.elapsed)),
    )
}
