//! A window seen by those who go through it.

use std::future::Future;
use std::time::Duration;

use super::{Fullness, Place, START, Window};

fn run<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().expect("no runtime");
    runtime.block_on(what)
}

/// Whether it is so within a moment; what is not so is not so for ever.
async fn is_soon(what: impl Future) -> bool {
    tokio::time::timeout(Duration::from_millis(20), what).await.is_ok()
}

async fn entered(window: &Window, places: usize) -> Vec<Place<'_>> {
    let mut entered = Vec::new();
    for _ in 0..places {
        entered.push(window.enter().await);
    }
    entered
}

#[test]
fn a_refusal_halves_it_and_the_rest_is_asked_to_leave() {
    run(async {
        let window = Window::default();
        let mut places = entered(&window, 10).await;
        let refused = places.remove(0);
        assert_eq!(refused.refused(), Fullness::Ours);
        drop(refused);
        // Five may stay of the nine.
        for place in &places {
            place.named();
        }
        for place in &places[..4] {
            assert!(is_soon(place.is_wanted()).await);
        }
        assert!(!is_soon(places[4].is_wanted()).await);
        places.drain(..4);
        assert!(!is_soon(window.enter()).await);
        drop(places.pop());
        assert!(is_soon(window.enter()).await);
    });
}

#[test]
fn what_entered_before_tells_nothing_new() {
    run(async {
        let window = Window::default();
        let mut places = entered(&window, 100).await;
        for _ in 0..40 {
            let refused = places.pop().expect("no place");
            assert_eq!(refused.refused(), Fullness::Ours);
        }
        // Half of the hundred, not a hundredth of a millionth.
        places.truncate(49);
        assert!(is_soon(window.enter()).await);
    });
}

#[test]
fn who_is_alone_is_not_in_its_own_way() {
    run(async {
        let window = Window::default();
        assert_eq!(window.enter().await.refused(), Fullness::Others);
    });
}

#[test]
fn what_a_worker_is_at_is_not_asked_to_leave() {
    run(async {
        let window = Window::default();
        let places = entered(&window, 5).await;
        places[0].begins();
        // Nor is what the server may not know yet: nobody could ask about it later.
        for place in &places[2..] {
            place.named();
        }
        places[4].refused();
        let unknown = places[1].is_wanted();
        tokio::pin!(unknown);
        assert!(!is_soon(&mut unknown).await);
        let first = places[0].is_wanted();
        tokio::pin!(first);
        assert!(!is_soon(&mut first).await);
        // It was asked, and another is in its stead.
        assert!(is_soon(places[2].is_wanted()).await);
    });
}

#[test]
fn it_grows_as_workers_take_what_is_there() {
    run(async {
        let window = Window::default();
        let mut places = entered(&window, START).await;
        assert!(!is_soon(window.enter()).await);
        // More than half of it waits: workers have enough.
        for place in &places[..START / 2 - 1] {
            place.begins();
        }
        assert!(!is_soon(window.enter()).await);
        for at in START / 2 - 1..START {
            places[at].begins();
            while is_soon(async { places.push(window.enter().await) }).await {}
        }
        // As many as were taken while less than half of it waited.
        assert_eq!(places.len(), START + START / 2 + 1);
    });
}

#[test]
fn it_grows_when_all_ends_well() {
    run(async {
        let window = Window::default();
        let places = entered(&window, 4).await;
        places[0].refused();
        drop(places);
        let mut places = entered(&window, 2).await;
        assert!(!is_soon(window.enter()).await);
        places[0].ended_well();
        assert!(!is_soon(window.enter()).await);
        places[1].ended_well();
        assert!(is_soon(async { places.push(window.enter().await) }).await);
        assert!(!is_soon(window.enter()).await);
    });
}
