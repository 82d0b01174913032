//! Speaks QEMU's machine protocol (QMP: JSON lines over a socket; docs/interop/qmp-spec of QEMU).
//!
//! Every answer is waited for with a deadline, so that a QEMU that hangs cannot hang its caller.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};

use crate::Error;

/// How long QEMU may take for one answer; a screendump of a slow guest takes longest.
const ANSWER: Duration = Duration::from_mins(1);

/// An open control connection.
#[derive(Debug)]
pub struct Qmp {
    socket: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to the socket at `path` and negotiates.
    pub fn connect(path: &Path) -> Result<Self, Error> {
        let connection = |source| Error::QmpConnection { command: "connect".to_owned(), source };
        let socket = UnixStream::connect(path).map_err(connection)?;
        socket.set_read_timeout(Some(ANSWER)).map_err(connection)?;
        socket.set_write_timeout(Some(ANSWER)).map_err(connection)?;
        let mut qmp = Self { socket: BufReader::new(socket) };
        qmp.read("connect")?;
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Runs one command and returns what QEMU answers.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, Error> {
        let request = json!({"execute": command, "arguments": arguments});
        self.socket
            .get_mut()
            .write_all(format!("{request}\n").as_bytes())
            .map_err(|source| Error::QmpConnection { command: command.to_owned(), source })?;
        loop {
            let mut answer = self.read(command)?;
            if let Some(result) = answer.get_mut("return") {
                return Ok(result.take());
            }
            if let Some(error) = answer.get("error") {
                let reason = error["desc"].as_str().unwrap_or("it failed without a description").to_owned();
                return Err(Error::Qmp { command: command.to_owned(), reason });
            }
            // Anything else is an event.
        }
    }

    /// Writes the framebuffer to `path` as PNG; the path is QEMU's to open, so it has to be absolute.
    pub fn screendump(&mut self, path: &Path) -> Result<(), Error> {
        self.execute("screendump", &json!({"filename": path.to_string_lossy(), "format": "png"})).map(drop)
    }

    /// Presses and releases `keys` together, by QEMU's key names: `["ret"]`, `["ctrl", "alt", "delete"]`.
    pub fn send_key(&mut self, keys: &[&str]) -> Result<(), Error> {
        let keys: Vec<_> = keys.iter().map(|key| json!({"type": "qcode", "data": key})).collect();
        self.execute("send-key", &json!({"keys": keys})).map(drop)
    }

    /// Ends QEMU.
    pub fn quit(&mut self) -> Result<(), Error> {
        self.execute("quit", &json!({})).map(drop)
    }

    fn read(&mut self, command: &str) -> Result<Value, Error> {
        let connection = |source| Error::QmpConnection { command: command.to_owned(), source };
        let mut line = String::new();
        if self.socket.read_line(&mut line).map_err(connection)? == 0 {
            return Err(connection(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_str(&line)
            .map_err(|error| Error::Qmp { command: command.to_owned(), reason: format!("answered no JSON: {error}") })
    }
}
