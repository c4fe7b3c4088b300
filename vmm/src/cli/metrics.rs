//! `metrics`: one OpenMetrics endpoint for all VMs of this user.

use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

use vmm::metrics::{Options, Scraper, http};
use vmm::registry::Registry;

use super::args::MetricsArgs;
use super::{Failure, plain, print};

pub(crate) fn metrics(args: &MetricsArgs) -> Result<u8, Failure> {
    let options = Options { max_processes: args.max_processes, timeout: args.timeout };
    let mut scraper = Scraper::new(Registry::open()?, options);
    if args.once {
        print(scraper.scrape()?.as_bytes())?;
        return Ok(0);
    }
    let failed = |error| Failure::ours(format!("cannot listen on {}: {}", args.listen, plain(&error)));
    let listener = TcpListener::bind(args.listen).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    print(format!("http://{address}/metrics\n").as_bytes())?;
    let scraper = Mutex::new(scraper);
    // Scrapes take turns. One that panicked has lost what it kept of the VMs, no more: the next begins anew.
    http::serve(&listener, move || {
        scraper.lock().unwrap_or_else(PoisonError::into_inner).scrape().map_err(|error| plain(&error))
    })
}
