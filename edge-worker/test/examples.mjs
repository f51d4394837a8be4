// The usage examples of the API's description, word for word. They call `fetch` with the paths of
// the API alone; where these lead is set outside: by a page's base, or around Node's `fetch`.
// Each gives what it learned; those at the end throw where there are no results to print.

export async function cacheManagement() {
  // Set cache with TTL
  const response = await fetch('/api/performance/cache/set', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
          key: 'user_preferences_123',
          value: { wine_types: ['red', 'white'] },
          ttl: 3600000 // 1 hour
      })
  });

  // Get cached data
  const cached = await fetch('/api/performance/cache/get/user_preferences_123');
  const data = await cached.json();
  return { statuses: [response.status, cached.status], data };
}

export async function asyncJob({ userRatings }) {
  // Submit async job
  const jobResponse = await fetch('/api/performance/async/job', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
          jobType: 'similarity_calculation',
          data: { entities: userRatings, algorithm: 'pearson' },
          options: { priority: 1 }
      })
  });

  const { jobId } = await jobResponse.json();

  // Check job status
  const statusResponse = await fetch(`/api/performance/async/job/${jobId}`);
  const status = await statusResponse.json();
  return { statuses: [jobResponse.status, statusResponse.status], jobId, status };
}

export async function batchProcessing({ largeDataset }) {
  // Process large dataset
  const batchResponse = await fetch('/api/performance/batch/process', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
          data: largeDataset,
          options: { batchSize: 1000, maxConcurrency: 5 }
      })
  });

  const { batchId } = await batchResponse.json();

  // Monitor progress
  const progressResponse = await fetch(`/api/performance/batch/${batchId}`);
  const progress = await progressResponse.json();
  return { statuses: [batchResponse.status, progressResponse.status], batchId, progress };
}

export async function performanceMonitoring() {
  // Get performance summary
  const summaryResponse = await fetch('/api/performance/monitoring/summary');
  const summary = await summaryResponse.json();

  // Check for alerts
  const alertsResponse = await fetch('/api/performance/monitoring/alerts');
  const alerts = await alertsResponse.json();

  // Export metrics
  const exportResponse = await fetch('/api/performance/monitoring/export?format=json');
  const metrics = await exportResponse.json();
  const statuses = [summaryResponse.status, alertsResponse.status, exportResponse.status];
  return { statuses, summary, alerts, metrics };
}

export async function alertResolution() {
  // Resolve alert
  const resolveResponse = await fetch('/api/performance/monitoring/alert/alert_id/resolve', {
      method: 'POST'
  });
  return { statuses: [resolveResponse.status], answer: await resolveResponse.json() };
}

export async function loadTesting() {
  // Run load test
  const loadTestResponse = await fetch('/api/performance/test/load', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
          requests: 1000,
          concurrency: 10,
          endpoint: '/api/wines'
      })
  });

  const results = await loadTestResponse.json();
  console.log(`Success rate: ${results.data.successRate}%`);
  console.log(`Average response time: ${results.data.averageResponseTime}ms`);
}

export async function memoryTesting() {
  // Run memory test
  const memoryTestResponse = await fetch('/api/performance/test/memory', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
          iterations: 1000,
          dataSize: 1000
      })
  });

  const results = await memoryTestResponse.json();
  console.log(`Memory increase: ${results.data.memoryIncrease} bytes`);
}
