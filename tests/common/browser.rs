//! A headless Chromium, led over its debugging pipe: pages are opened, looked into and used as people would.
//! Knows nothing of what the pages are about.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// It reads commands from descriptor 3 and answers on 4, which the shell opens for it.
const START: &str = r#"exec "$0" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --hide-scrollbars "--user-data-dir=$1/profile" --remote-debugging-pipe about:blank \
    3< "$1/commands" 4> "$1/answers" 2> "$1/said""#;

/// Chromium with one page open.
pub struct Browser {
    child: Child,
    pipe: RefCell<Pipe>,
    session: String,
    dir: TempDir,
}

struct Pipe {
    commands: File,
    answers: BufReader<File>,
    sent: u64,
    events: Vec<Value>,
}

impl Browser {
    pub fn new() -> Browser {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let made = Command::new("mkfifo")
            .args([path("commands"), path("answers")])
            .status();
        assert!(made.unwrap().success());
        let child = Command::new("sh")
            .args(["-c", START, "chromium"])
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Each waits for the shell to open the other end.
        let commands = OpenOptions::new().write(true).open(path("commands")).unwrap();
        let answers = BufReader::new(File::open(path("answers")).unwrap());
        let mut browser = Browser {
            child,
            pipe: RefCell::new(Pipe {
                commands,
                answers,
                sent: 0,
                events: Vec::new(),
            }),
            session: String::new(),
            dir,
        };
        let targets = browser.call("Target.getTargets", json!({}));
        let targets = targets["targetInfos"].as_array().unwrap();
        let page = targets.iter().find(|target| target["type"] == "page").unwrap();
        let attached = browser.call(
            "Target.attachToTarget",
            json!({"targetId": page["targetId"], "flatten": true}),
        );
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Sends one command of the protocol and gives its answer; what happens meanwhile is kept.
    pub fn call(&self, method: &str, parameters: Value) -> Value {
        let mut pipe = self.pipe.borrow_mut();
        pipe.sent += 1;
        let number = pipe.sent;
        let mut command = json!({"id": number, "method": method, "params": parameters});
        if !self.session.is_empty() {
            command["sessionId"] = self.session.as_str().into();
        }
        let mut bytes = serde_json::to_vec(&command).unwrap();
        bytes.push(0);
        pipe.commands.write_all(&bytes).unwrap();
        loop {
            let message = self.next(&mut pipe);
            if message["id"] == number {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }

    /// The next message, an event among others.
    fn next(&self, pipe: &mut Pipe) -> Value {
        let mut bytes = Vec::new();
        pipe.answers.read_until(0, &mut bytes).unwrap();
        assert_eq!(
            bytes.pop(),
            Some(0),
            "chromium is gone (is it installed?): {}",
            fs::read_to_string(self.dir.path().join("said")).unwrap_or_default()
        );
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        if message["id"].is_null() {
            pipe.events.push(message.clone());
        }
        message
    }

    /// Opens a file and waits until it has loaded.
    pub fn open(&self, page: &Path) -> &Browser {
        self.pipe.borrow_mut().events.clear();
        self.call("Page.navigate", json!({"url": format!("file://{}", page.display())}));
        self.until("Page.loadEventFired")
    }

    /// Loads the page again.
    pub fn reload(&self) -> &Browser {
        self.pipe.borrow_mut().events.clear();
        self.call("Page.reload", json!({}));
        self.until("Page.loadEventFired")
    }

    fn until(&self, event: &str) -> &Browser {
        let mut pipe = self.pipe.borrow_mut();
        while !pipe.events.iter().any(|one| one["method"] == event) {
            self.next(&mut pipe);
        }
        drop(pipe);
        self
    }

    /// What has happened since the page was opened, of these sorts.
    pub fn events(&self, methods: &[&str]) -> Vec<Value> {
        let pipe = self.pipe.borrow();
        let mut events = pipe.events.iter();
        let of_sort = events
            .by_ref()
            .filter(|one| methods.iter().any(|method| one["method"] == **method));
        of_sort.map(|one| one["params"].clone()).collect()
    }

    /// The value of an expression in the page, once two frames have been drawn, so that layout has settled.
    pub fn value(&self, expression: &str) -> Value {
        let frames = format!(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done({expression}))))"
        );
        let answer = self.call(
            "Runtime.evaluate",
            json!({"expression": frames, "returnByValue": true, "awaitPromise": true}),
        );
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    pub fn text(&self, selector: &str) -> String {
        let expression = format!("document.querySelector({selector:?}).textContent");
        self.value(&expression).as_str().unwrap().to_owned()
    }

    pub fn count(&self, selector: &str) -> usize {
        let count = self.value(&format!("document.querySelectorAll({selector:?}).length"));
        usize::try_from(count.as_u64().unwrap()).unwrap()
    }

    /// The colour scheme (`light`, `dark`) and medium (`screen`, `print`) pages are shown in.
    pub fn medium(&self, scheme: &str, medium: &str) -> &Browser {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({"media": medium, "features": features}),
        );
        self
    }

    /// The window, in CSS pixels.
    pub fn size(&self, width: u32, height: u32) -> &Browser {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        self
    }

    /// Presses a key; `text` is what it types, if anything.
    pub fn press(&self, key: &str, text: Option<&str>) -> &Browser {
        let mut down = json!({"type": "keyDown", "key": key, "code": key});
        if let Some(text) = text {
            down["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", down);
        self.call(
            "Input.dispatchKeyEvent",
            json!({"type": "keyUp", "key": key, "code": key}),
        );
        self
    }

    /// What screen readers are told: role and name of everything that is not ignored.
    pub fn accessible(&self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().unwrap().iter();
        let told = nodes.filter(|node| node["ignored"] == false);
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        told.map(|node| (text(&node["role"]), text(&node["name"]))).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends its own children, too.
        let mut pipe = self.pipe.borrow_mut();
        let _ = pipe.commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let mut bytes = Vec::new();
        while pipe.answers.read_until(0, &mut bytes).is_ok_and(|read| read > 0) {
            bytes.clear();
        }
        let _ = self.child.wait();
    }
}
