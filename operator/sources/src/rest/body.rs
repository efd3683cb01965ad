//! An answer's body as it arrives: unpacked, a bounded piece at a time.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;

/// The longest silence within a body.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes that are unpacked at once: gzip makes at most about a thousand of one.
const SLICE: usize = 4 * 1024;

/// The body ended early, or is not packed as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// A body that is being read.
pub(crate) struct Body {
    response: Response,
    unpack: Option<MultiGzDecoder<Vec<u8>>>,
    /// Arrived, and not unpacked yet.
    pending: Bytes,
    ended: bool,
    /// The longest silence.
    silence: Duration,
}

impl Body {
    pub(crate) fn new(response: Response) -> Self {
        let packed = response.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding.as_bytes() == b"gzip");
        let unpack = packed.then(|| MultiGzDecoder::new(Vec::new()));
        Self { response, unpack, pending: Bytes::new(), ended: false, silence: SILENCE }
    }

    /// One that may be silent for so long: the service computes while it answers.
    pub(crate) fn patient(response: Response, silence: Duration) -> Self {
        Self { silence, ..Self::new(response) }
    }

    /// The next piece, `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            if self.pending.is_empty() {
                if self.ended {
                    return Ok(None);
                }
                match tokio::time::timeout(self.silence, self.response.chunk()).await {
                    Ok(Ok(Some(chunk))) => self.pending = chunk,
                    Ok(Ok(None)) => {
                        self.ended = true;
                        return self.rest();
                    }
                    Ok(Err(_)) | Err(_) => return Err(Broken),
                }
            }
            let Some(unpack) = &mut self.unpack else { return Ok(Some(std::mem::take(&mut self.pending))) };
            let slice = self.pending.split_to(self.pending.len().min(SLICE));
            unpack.write_all(&slice).map_err(|_| Broken)?;
            let piece = std::mem::take(unpack.get_mut());
            if !piece.is_empty() {
                return Ok(Some(piece.into()));
            }
        }
    }

    /// What the decoder still holds; an archive that is not whole is an error.
    fn rest(&mut self) -> Result<Option<Bytes>, Broken> {
        let Some(unpack) = &mut self.unpack else { return Ok(None) };
        unpack.try_finish().map_err(|_| Broken)?;
        let piece = std::mem::take(unpack.get_mut());
        Ok((!piece.is_empty()).then(|| piece.into()))
    }

    /// All of it, if it has no more than `most` bytes.
    pub(crate) async fn whole(mut self, most: usize) -> Result<Vec<u8>, Broken> {
        let mut all = Vec::new();
        while let Some(piece) = self.next().await? {
            if all.len() + piece.len() > most {
                return Err(Broken);
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}
