//! Who executes backends elsewhere, as the schedule sees it: takes jobs on, and tells when they have begun and ended.
//! Knows nothing of what runs here; whatever it cannot do it refuses, with a reason that a person is told.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::action::{Making, Stays};
use super::ahead::{Ahead, Ready};
use super::fill::Filler;
use super::looks::{self, Sendable, said_here};
use super::receive::{self, Due, Flaw, From, Received};
use super::{By, Ended, Ran, Sharing, place};
use crate::backend::Backends;
use crate::backend::prepare::Prepared;
use crate::remote::compiler::Compiler;
use crate::remote::{Blob, CacheLookup, Cancel, Client, Digest, Executed, Execution, Heard, Kind, RemoteError};
use crate::schedule::shared::{Elsewhere, Tell, Told};
use crate::settings::remote::Access;

/// After so many jobs one after the other that failed, nothing more is expected of a server.
const STRIKES: usize = 5;

/// How often it is looked whether a connection has been made, or is no longer wanted.
const GLANCE: Duration = Duration::from_millis(5);

/// The server, and what it is at.
pub(in crate::backend) struct Farm<'a> {
    link: &'a Backends<'a>,
    prepared: &'a [Prepared],
    /// The module of each job.
    waiting: &'a [usize],
    sharing: &'a Sharing,
    /// Modules whose object is there, or about to be.
    taken: &'a [AtomicBool],
    tell: Tell<Ended>,
    orders: Sender<Order>,
    width: usize,
    client: OnceLock<Arc<Client>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Nothing more is to be had of it.
    is_down: bool,
    /// Nothing more is wanted of it.
    is_over: bool,
    /// What is under way, by job.
    flights: HashMap<usize, Flight>,
    /// Jobs that failed one after the other.
    strikes: usize,
}

/// A job that has been handed over.
#[derive(Clone)]
struct Flight {
    cancel: Cancel,
    since: Instant,
    /// How often it has been tried again.
    again: usize,
}

impl Flight {
    fn new() -> Flight {
        Flight {
            cancel: Cancel::new(),
            since: Instant::now(),
            again: 0,
        }
    }
}

/// Where the server's thread is told what to do.
pub(in crate::backend) struct Inbox(Receiver<Order>);

/// What it is told.
enum Order {
    Start(usize),
    Executed(usize, Result<Executed, RemoteError>),
    Flawed(Due, Flaw),
    End,
}

/// All that is needed to make an action once more.
struct Kit<'a> {
    making: Making<'a>,
    digests: HashMap<usize, Digest>,
    due: Sender<Due>,
}

impl<'a> Farm<'a> {
    /// One that has not begun; what is to be told to [`Farm::attend`] comes with it.
    pub(in crate::backend) fn new(
        link: &'a Backends<'a>,
        (prepared, waiting): (&'a [Prepared], &'a [usize]),
        (sharing, taken): (&'a Sharing, &'a [AtomicBool]),
        ahead: &Ahead,
        tell: Tell<Ended>,
    ) -> (Farm<'a>, Inbox) {
        let (orders, inbox) = channel();
        let farm = Farm {
            link,
            prepared,
            waiting,
            sharing,
            taken,
            tell,
            orders,
            width: ahead.wanted.jobs,
            client: OnceLock::new(),
            state: Mutex::default(),
        };
        (farm, Inbox(inbox))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.state().is_over
    }

    fn is_taken(&self, job: usize) -> bool {
        self.taken[self.waiting[job]].load(Ordering::Acquire)
    }

    /// Ends whatever is under way.
    pub(in crate::backend) fn end(&self) {
        self.state().is_over = true;
        if let Some(client) = self.client.get() {
            client.close();
        }
        let _ = self.orders.send(Order::End);
    }

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
    fn send(&self, client: &Client, jobs: &[Sendable], kit: &Kit<'_>) -> Result<(), RemoteError> {
        let wanted: Vec<&Sendable> = jobs.iter().filter(|one| !self.is_taken(one.job)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let mut blobs: Vec<Blob> = kit.making.compiler.blobs.clone();
        blobs.extend(kit.making.modules(wanted.iter().map(|one| self.waiting[one.job])));
        blobs.extend(wanted.iter().flat_map(|one| one.blobs.iter().cloned()));
        client.upload(&blobs).map(drop)
    }

    fn take_orders(&self, client: &Arc<Client>, inbox: &Receiver<Order>, kit: &Kit<'_>) {
        while let Ok(order) = inbox.recv() {
            if self.state().is_down || self.is_over() {
                // What is behind is for who comes after us to refuse.
                let _ = self.orders.send(order);
                return;
            }
            match order {
                Order::Start(job) if self.state().flights.contains_key(&job) => {}
                Order::Start(job) => self.start(client, job, kit, CacheLookup::Allowed),
                Order::Executed(job, executed) => self.executed(client, job, executed, kit),
                Order::Flawed(due, flaw) => self.flawed(client, &due, flaw, kit),
                Order::End => return,
            }
        }
    }

    fn start(&self, client: &Arc<Client>, job: usize, kit: &Kit<'_>, cache: CacheLookup) {
        let Some(action) = kit.digests.get(&job).filter(|_| !self.is_taken(job)) else {
            return;
        };
        let cancel = Cancel::new();
        self.state().flights.entry(job).or_insert_with(Flight::new).cancel = cancel.clone();
        let execution = Execution {
            action: *action,
            priority: 0,
            cache,
        };
        let (tell, orders) = (self.tell.clone(), self.orders.clone());
        client.start(execution, cancel, move |heard| match heard {
            Heard::Begun => tell.of(job, Told::Begun),
            Heard::Ended(executed) => {
                let _ = orders.send(Order::Executed(job, *executed));
            }
        });
    }

    fn executed(&self, client: &Arc<Client>, job: usize, executed: Result<Executed, RemoteError>, kit: &Kit<'_>) {
        if self.is_taken(job) {
            return;
        }
        match executed {
            Ok(executed) => {
                let from = match executed.was_cached {
                    true => From::Cache,
                    false => From::Worker(executed.worker),
                };
                let _ = kit.due.send(Due {
                    job,
                    at: self.waiting[job],
                    result: executed.result,
                    from,
                });
            }
            Err(error) => match error.kind {
                Kind::Unreachable | Kind::Denied | Kind::Full | Kind::Unsupported(_) => self.failed_all(&error),
                Kind::Cancelled => self.tell.of(job, Told::Refused),
                Kind::Missing(_) => self.again(client, job, kit, CacheLookup::Allowed, error.to_string()),
                _ => self.refuse(job, error.to_string()),
            },
        }
    }

    fn flawed(&self, client: &Arc<Client>, due: &Due, flaw: Flaw, kit: &Kit<'_>) {
        let job = due.job;
        if self.is_taken(job) {
            return;
        }
        tracing::info!(module = self.link.plan.modules[due.at].shown(), from = ?due.from, "{flaw}");
        match &flaw {
            // clang's own verdict: a backend here gives it in the words for this machine.
            Flaw::Failed { code: 1, .. } if due.from != From::Cache => self.refuse(job, flaw.to_string()),
            Flaw::Server(error) if error.is_retryable() => self.failed_all(error),
            _ => self.again(client, job, kit, CacheLookup::Skipped, flaw.to_string()),
        }
    }

    /// Once more, everything sent that may be missing; a second time it is refused.
    fn again(&self, client: &Arc<Client>, job: usize, kit: &Kit<'_>, cache: CacheLookup, why: String) {
        {
            let mut state = self.state();
            let flight = state.flights.entry(job).or_insert_with(Flight::new);
            flight.again += 1;
            if flight.again > 1 {
                drop(state);
                return self.refuse(job, why);
            }
        }
        let Ok((_, blobs)) = kit.making.action(self.waiting[job]) else {
            return self.refuse(job, why);
        };
        let one = Sendable {
            job,
            digest: kit.digests[&job],
            blobs,
        };
        match self.send(client, &[one], kit) {
            Ok(()) => self.start(client, job, kit, cache),
            Err(error) => self.failed_all(&error),
        }
    }

    /// This one is done here.
    fn refuse(&self, job: usize, why: String) {
        let strikes = {
            let mut state = self.state();
            state.flights.remove(&job);
            state.strikes += 1;
            state.strikes
        };
        if strikes >= STRIKES {
            return self.down(why);
        }
        let mut account = self.sharing.account();
        account.refused.insert(self.waiting[job]);
        account.why.get_or_insert(why);
        drop(account);
        self.tell.of(job, Told::Refused);
    }

    fn failed_all(&self, error: &RemoteError) {
        if !self.is_over() {
            self.down(error.to_string());
        }
    }

    /// Everything that is left is done here.
    fn down(&self, why: String) {
        let flights = {
            let mut state = self.state();
            state.is_down = true;
            std::mem::take(&mut state.flights)
        };
        let mut account = self.sharing.account();
        let left = self
            .waiting
            .iter()
            .filter(|at| !self.taken[**at].load(Ordering::Acquire));
        account.refused.extend(left.copied());
        account.why = Some(why);
        drop(account);
        for (job, flight) in flights {
            flight.cancel.cancel();
            self.tell.of(job, Told::Refused);
        }
        self.tell.opened();
    }

    /// A result has been fetched, or not.
    fn received(&self, due: Due, received: Result<Received, Flaw>) {
        let module = &self.prepared[due.at];
        let object = module.object.path();
        let beside = beside(object, "away");
        let flaw = match received {
            Err(flaw) => Some(flaw),
            Ok(received) => match place(&received, &beside) {
                Some(found) => Some(Flaw::Object(found)),
                None if self.taken[due.at].swap(true, Ordering::AcqRel) => None,
                None => match std::fs::rename(&beside, object) {
                    Ok(()) => {
                        self.received_whole(&due, module, &received.said);
                        return;
                    }
                    Err(_) => {
                        self.taken[due.at].store(false, Ordering::Release);
                        Some(Flaw::Object("an object that cannot be put in its place"))
                    }
                },
            },
        };
        if let Some(flaw) = flaw {
            let _ = self.orders.send(Order::Flawed(due, flaw));
        }
    }

    fn received_whole(&self, due: &Due, module: &Prepared, said: &str) {
        let said = said_here(self.link, self.sharing, module, due.at, said);
        let since = {
            let mut state = self.state();
            state.strikes = 0;
            state.flights.remove(&due.job).map(|flight| flight.since)
        };
        let by = match &due.from {
            From::Cache => By::Cache,
            From::Worker(worker) => {
                if let (Some(timeline), Some(since)) = (self.link.timeline, since) {
                    timeline.away(due.at, since, worker.as_deref());
                }
                By::Worker
            }
        };
        let done = self.link.done(module, said);
        self.tell.of(due.job, Told::Done(done.map(|stderr| Ran { stderr, by })));
    }
}

impl Elsewhere for Farm<'_> {
    fn room(&self) -> usize {
        if self.state().is_down { 0 } else { self.width }
    }

    fn start(&self, job: usize) {
        let _ = self.orders.send(Order::Start(job));
    }

    fn cancel(&self, job: usize) {
        if let Some(flight) = self.state().flights.remove(&job) {
            flight.cancel.cancel();
        }
    }
}

/// Where an object stands until it is known that it is the first.
pub(in crate::backend) fn beside(object: &Path, end: &str) -> PathBuf {
    let mut name = object.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}
