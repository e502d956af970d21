//! What a link wants of a server from the first to the last: waits for it, has it say what it has, sends what it lacks, and
//! refuses all that is left when it cannot go on. Knows nothing of what becomes of a single job.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{Farm, Flight, Inbox, Kit, Order};
use crate::backend::away::action::{Making, Stays};
use crate::backend::away::ahead::{Ahead, Ready};
use crate::backend::away::fill::Filler;
use crate::backend::away::looks::{self, Sendable};
use crate::backend::away::receive::{self, Due, Flaw, Received};
use crate::remote::compiler::Compiler;
use crate::remote::{Blob, Cancel, Client, RemoteError};
use crate::schedule::shared::Told;
use crate::settings::remote::Access;

/// How often it is looked whether a connection has been made, or is no longer wanted.
const GLANCE: Duration = Duration::from_millis(5);

impl Farm<'_> {
    /// Does everything, until [`Farm::end`].
    pub(in crate::backend) fn attend(&self, ahead: Ahead, Inbox(inbox): Inbox) {
        while !ahead.is_ready() {
            if self.is_over() {
                return self.came_too_late(&ahead);
            }
            thread::sleep(GLANCE);
        }
        let wanted = ahead.wanted.clone();
        let ready = ahead.ready();
        match (&ready.server, &ready.compiler) {
            (Some(Ok(client)), Ok(compiler)) => {
                let _ = self.client.set(Arc::clone(client));
                match wanted.refused(client, &Cancel::new()) {
                    Some(_) if self.is_over() => {}
                    Some(why) => self.down(why),
                    None => self.serve(client, compiler, &ready, &wanted.platform, &inbox),
                }
            }
            (Some(Err(error)), _) => self.down(error.to_string()),
            (_, Err(error)) => self.down(error.to_string()),
            (None, _) => {}
        }
        // Whoever is told after all was said.
        while let Ok(order) = inbox.recv() {
            match order {
                Order::Start(job) => self.tell.of(job, Told::Refused),
                Order::End => break,
                _ => {}
            }
        }
        let cache = ready.cache.as_ref().and_then(|(_, client)| client.as_ref().ok());
        let clients = cache.into_iter().chain(self.client.get());
        let mut account = self.sharing.account();
        for traffic in clients.map(|client| client.traffic()) {
            (account.up, account.down) = (account.up + traffic.up, account.down + traffic.down);
        }
        ready.contents.save();
    }

    fn serve(
        &self,
        client: &Arc<Client>,
        compiler: &Compiler,
        ready: &Ready,
        platform: &[(String, String)],
        inbox: &Receiver<Order>,
    ) {
        let modules = looks::modules(self.link, self.prepared, self.waiting, &ready.contents);
        let digest = |path: &Path| -> io::Result<_> { ready.contents.of(path) };
        let making = Making {
            link: self.link,
            prepared: self.prepared,
            compiler,
            platform,
            digest: &digest,
            modules: &modules,
        };
        let sendable = looks::actions(&making, self.waiting, self.sharing, |job, _: Stays| {
            self.tell.of(job, Told::Refused);
        });
        let (due, dues) = channel();
        let dues = Mutex::new(dues);
        let received = |due: Due, received: Result<Received, Flaw>| self.received(due, received);
        thread::scope(|scope| {
            let digests = sendable.iter().map(|one| (one.job, one.digest)).collect();
            let kit = Kit { making, digests, due };
            let sendable = self.shared_cache(ready, sendable, &received);
            for _ in 0..receive::THREADS {
                scope.spawn(|| receive::attend(client, &dues, &received));
            }
            let looked: Vec<usize> = sendable.iter().map(|one| one.job).collect();
            let (left, error) = looks::look(client, sendable, self.waiting, &kit.due);
            if let Some(error) = error {
                return self.failed_all(&error);
            }
            self.found(looked, &left);
            self.tell.opened();
            if let Err(error) = self.send(client, &left, &kit) {
                return self.failed_all(&error);
            }
            drop(left);
            self.take_orders(client, inbox, &kit);
        });
    }

    /// What was found is under way, to be executed only if it is no good.
    fn found(&self, looked: Vec<usize>, left: &[Sendable]) {
        let left: HashSet<usize> = left.iter().map(|one| one.job).collect();
        let mut state = self.state();
        for job in looked.into_iter().filter(|job| !left.contains(job)) {
            state.flights.entry(job).or_insert_with(Flight::new);
        }
    }

    /// Everything has been made here before the server has said a word.
    fn came_too_late(&self, ahead: &Ahead) {
        let left = self
            .waiting
            .iter()
            .filter(|at| !self.taken[**at].load(Ordering::Acquire));
        if left.count() > 0 {
            return;
        }
        let mut account = self.sharing.account();
        account.fell_back = self.waiting.len();
        account.why = Some(format!("{}: no answer yet", ahead.server()));
    }

    /// Takes what a cache beside the server has, before that is asked; what it has not.
    fn shared_cache(
        &self,
        ready: &Ready,
        sendable: Vec<Sendable>,
        received: &(dyn Fn(Due, Result<Received, Flaw>) + Sync),
    ) -> Vec<Sendable> {
        let (access, client) = match &ready.cache {
            Some((access, Ok(client))) => (access, client),
            Some((_, Err(error))) => {
                self.sharing.account().cache_off = Some(error.to_string());
                return sendable;
            }
            None => return sendable,
        };
        let (due, dues) = channel();
        let dues = Mutex::new(dues);
        let (left, error) = thread::scope(|scope| {
            // What it has the server will be asked for anyway.
            if ready.is_one {
                return (sendable, None);
            }
            for _ in 0..receive::THREADS {
                scope.spawn(|| receive::attend(client, &dues, received));
            }
            let looked = looks::look(client, sendable, self.waiting, &due);
            drop(due);
            looked
        });
        match error {
            Some(error) => self.sharing.account().cache_off = Some(error.to_string()),
            None if *access == Access::ReadWrite => {
                let _ = self.sharing.filler.set(Filler::new(Arc::clone(client)));
            }
            None => {}
        }
        left
    }

    /// Sends all that these need and the server does not have, the compiler with it.
    pub(super) fn send(&self, client: &Client, jobs: &[Sendable], kit: &Kit<'_>) -> Result<(), RemoteError> {
        let wanted: Vec<&Sendable> = jobs.iter().filter(|one| !self.is_taken(one.job)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let mut blobs: Vec<Blob> = kit.making.compiler.blobs.clone();
        blobs.extend(kit.making.modules(wanted.iter().map(|one| self.waiting[one.job])));
        blobs.extend(wanted.iter().flat_map(|one| one.blobs.iter().cloned()));
        client.upload(&blobs).map(drop)
    }
}
