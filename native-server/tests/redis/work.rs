//! Jobs as a client of the servers sees them.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use super::cluster::{Cluster, Server};

/// Longest time for a job to reach a status.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Work of a millisecond.
pub fn short(number: u64) -> Value {
    json!({"jobType": "data_processing", "data": {"dataset": [{"n": number}], "operations": []}})
}

/// What [`short`] gives.
pub fn short_result(number: u64) -> Value {
    json!([{"n": number}])
}

/// Work of some seconds for each 1000 `epochs`.
pub fn long(epochs: u32) -> Value {
    let ratings: Vec<_> = (0..20_000)
        .map(|i| json!({"user_id": i / 100, "item_id": i % 100, "rating": 1 + i % 5}))
        .collect();
    json!({"jobType": "model_training", "data": {
        "trainingData": ratings,
        "parameters": {"factors": 512, "epochs": epochs, "heldOutFraction": 0.0,
            "learningRate": 1e-6},
    }})
}

pub fn with(mut body: Value, options: Value) -> Value {
    body["options"] = options;
    body
}

impl Server {
    pub async fn submit(&self, body: &Value) -> String {
        let answer = self.try_submit(body).await.expect("an answer");
        answer["data"]["jobId"].as_str().unwrap().to_owned()
    }

    /// The answer if it was accepted.
    pub async fn try_submit(&self, body: &Value) -> Option<Value> {
        let answer = self.call(Method::POST, "async/job", Some(body.clone()));
        let (status, answer) = answer.await?;
        (status == 200).then_some(answer)
    }

    /// A job, or nothing when it is unknown or cannot be asked for now.
    pub async fn job(&self, id: &str) -> Option<Value> {
        let path = format!("async/job/{id}");
        let (status, mut answer) = self.call(Method::GET, &path, None).await?;
        (status == 200).then(|| answer["data"].take())
    }

    pub async fn cancel(&self, id: &str) -> u16 {
        let path = format!("async/job/{id}");
        let answer = self.call(Method::DELETE, &path, None).await;
        answer.unwrap().0.as_u16()
    }

    pub async fn until(&self, id: &str, status: &str) -> Value {
        let began = Instant::now();
        loop {
            let job = self.job(id).await;
            if let Some(job) = &job
                && job["status"] == status
            {
                return job.clone();
            }
            assert!(began.elapsed() < PATIENCE, "{id} is not {status}: {job:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn metrics(&self) -> Value {
        let answer = self.call(Method::GET, "async/metrics", None).await;
        answer.expect("an answer").1["data"].take()
    }
}

impl Cluster {
    /// Waits until every server takes and shows shared jobs.
    pub async fn shares_jobs(&self) {
        for server in &self.servers {
            let began = Instant::now();
            loop {
                let id = server.submit(&short(0)).await;
                let mut seen = true;
                for other in &self.servers {
                    seen &= other.job(&id).await.is_some();
                }
                if seen {
                    server.until(&id, "completed").await;
                    break;
                }
                assert!(began.elapsed() < PATIENCE, "jobs are not shared");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
