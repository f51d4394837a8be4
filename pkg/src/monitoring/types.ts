/** Thresholds of the alert rules. */
export interface AlertThresholds {
  /** Processor use, percent. Default 80. */
  cpu: number;
  /** Memory use, percent. Default 85. */
  memory: number;
  /** 95th percentile of the last minute's response times, milliseconds. Default 5000. */
  responseTime: number;
  /** Errors of the last minute's responses, percent. Default 5. */
  errorRate: number;
  /** Hits of the last five minutes' lookups, percent; alarming when lower. Default 50. */
  cacheHitRate: number;
  /** Slow queries in the last minute, count. Default 5. */
  slowQueries: number;
}

/** What a PerformanceMonitoringEngine is made with. */
export interface PerformanceMonitoringOptions {
  /** Time between two samples, milliseconds, at least 10. Default 5000. */
  monitoringInterval?: number | undefined;
  /** How long the history is kept, milliseconds, 60000 to 86400000 (a day), which is the default. */
  metricsRetention?: number | undefined;
  alertThresholds?: Partial<AlertThresholds> | undefined;
  /** A database query of so many milliseconds is slow. Default 1000. */
  slowQuery?: number | undefined;
  /**
   * How long a figure must be alarming before its alert is raised, and well before it ends,
   * milliseconds. Default: 30 to 60 seconds, each rule its own.
   */
  alertAfter?: number | undefined;
  /** Requests, lookups or samples behind a figure that may alarm. Default: 1 to 100, each rule its own. */
  alertMinSamples?: number | undefined;
  /** Endpoints counted apart, 1 to 512; later ones count as `other`. Default 64. */
  maxEndpoints?: number | undefined;
  /** Requests without a response that are remembered; then the oldest are given up. Default 10000. */
  maxPendingRequests?: number | undefined;
  /** Where records are sent as well: the server's `/api/performance/metrics`. Default: nowhere. */
  reportTo?: string | undefined;
}

/** What is wrong. */
export type AlertType =
  | 'HIGH_CPU'
  | 'HIGH_MEMORY'
  | 'HIGH_RESPONSE_TIME'
  | 'HIGH_ERROR_RATE'
  | 'CACHE_LOW_HIT_RATE'
  | 'DATABASE_SLOW_QUERIES';

/** One alert; at most one of a type is open. Times are Unix milliseconds. */
export interface Alert {
  id: string;
  type: AlertType;
  severity: 'warning' | 'critical';
  message: string;
  /** The figure that raised it. */
  value: number;
  threshold: number;
  /** The unit of the two: percent, ms or count. */
  unit: 'percent' | 'ms' | 'count';
  timestamp: number;
  resolved: boolean;
  resolvedAt: number | null;
  resolution: 'manual' | 'recovery' | null;
}

/** The machine and the process, or the page; null where the platform does not tell. */
export interface SystemMetrics {
  /** Processor use of the machine, percent of all cores. */
  cpuPercent: number | null;
  /** Memory in use on the machine, bytes; in a page, of its heap. */
  memoryUsed: number | null;
  /** Memory of the machine, bytes; in a page, the most its heap may take. */
  memoryTotal: number | null;
  /** Processor use of this process, percent of one core. */
  processCpuPercent: number | null;
  /** Resident memory of this process, bytes; in a page, heap and engine. */
  rss: number | null;
  threads: number | null;
  diskUsed: number | null;
  diskTotal: number | null;
  /** Load average over one minute. */
  load1: number | null;
  /** Time since the process or page started, seconds. */
  uptime: number | null;
  /** Load averages over five minutes and a quarter of an hour. */
  load5: number | null;
  load15: number | null;
  /** Bytes a second over disks and network: of the machine, then of the process. Null in a page. */
  diskReadRate: number | null;
  diskWriteRate: number | null;
  networkReceiveRate: number | null;
  networkTransmitRate: number | null;
  openFiles: number | null;
  /** Heap bytes that the server's allocator has handed out. */
  heapUsed: number | null;
  processReadRate: number | null;
  processWriteRate: number | null;
}

/** The same with what only this side knows. */
export interface CurrentSystemMetrics extends SystemMetrics {
  /** Use of each core, percent; empty where the platform does not tell. */
  cpuPerCore: number[];
  /** How late the last sample's timer was, milliseconds: what kept the thread busy. */
  eventLoopLag: number | null;
}

/** Requests as a whole: plain names since the start, the others over the last minute. */
export interface ApplicationMetrics {
  requests: number;
  responses: number;
  errors: number;
  /** Percent. */
  errorRate: number;
  /** Mean, milliseconds. */
  responseTime: number;
  /** Responses a second. */
  throughput: number;
  recentErrorRate: number;
  recentResponseTime: number | null;
  p50Ms: number | null;
  p95Ms: number | null;
  p99Ms: number | null;
}

/** Database queries since the start. */
export interface DatabaseMetrics {
  queries: number;
  /** Mean, milliseconds. */
  queryTime: number;
  slowQueries: number;
}

/** Responses since the start. */
export interface ApiMetrics {
  success: number;
  redirects: number;
  clientErrors: number;
  serverErrors: number;
  bytesOut: number;
  /** Requests at work now. */
  inFlight: number;
}

/** One endpoint. Times are milliseconds. */
export interface EndpointMetrics {
  method: string;
  /** `other` for those beyond `maxEndpoints`. */
  route: string;
  responses: number;
  clientErrors: number;
  errors: number;
  errorRate: number;
  responseTime: number;
  p50Ms: number | null;
  p95Ms: number | null;
  p99Ms: number | null;
  bytesOut: number;
}

/** Errors by type, and the last hundred. */
export interface ErrorReport {
  types: { type: string; count: number; lastMessage: string; lastAt: number }[];
  recent: { timestamp: number; type: string; message: string; context: string | null }[];
}

/** One web vital or custom metric. */
export interface VitalMetrics {
  name: string;
  count: number;
  mean: number;
  min: number;
  max: number;
  last: number;
  p75: number;
  good: number;
  needsImprovement: number;
  poor: number;
}

/** Responses, endpoints, errors and web vitals. */
export interface CurrentApiMetrics extends ApiMetrics {
  endpoints: EndpointMetrics[];
  errors: ErrorReport;
  webVitals: VitalMetrics[];
}

/** Cache lookups since the start. */
export interface CacheMetrics {
  hits: number;
  misses: number;
  /** Percent. */
  hitRate: number;
  size: number | null;
  memory: number | null;
}

/** Predictions since the start. */
export interface MLMetrics {
  predictions: number;
  /** Mean of those reported, percent. */
  accuracy: number | null;
  /** Mean, milliseconds. */
  predictionTime: number;
}

/** Predictions, and each model. */
export interface CurrentMLMetrics extends MLMetrics {
  models: (MLMetrics & { model: string })[];
}

/** The figures of each category, as the history keeps them. */
export interface MetricsByCategory {
  system: SystemMetrics;
  application: ApplicationMetrics;
  database: DatabaseMetrics;
  api: ApiMetrics;
  cache: CacheMetrics;
  ml: MLMetrics;
}

/** A group of metrics. */
export type MetricsCategory = keyof MetricsByCategory;

/** What `getCurrentMetrics` answers. */
export interface CurrentMetrics {
  /** Unix milliseconds. */
  timestamp: number;
  system: CurrentSystemMetrics;
  application: ApplicationMetrics;
  database: DatabaseMetrics;
  api: CurrentApiMetrics;
  cache: CacheMetrics;
  ml: CurrentMLMetrics;
}

/** One point of a history. */
export interface MetricsPoint<C extends MetricsCategory = MetricsCategory> {
  /** Unix milliseconds. */
  timestamp: number;
  data: MetricsByCategory[C];
}

/** One rolling window that ends now. Times are milliseconds, rates percent. */
export interface WindowMetrics {
  /** What it really covers, milliseconds. */
  spanMs: number;
  responses: number;
  errors: number;
  errorRate: number;
  /** Responses a second. */
  throughput: number;
  responseTime: number | null;
  p50Ms: number | null;
  p95Ms: number | null;
  p99Ms: number | null;
  queries: number;
  slowQueries: number;
  cacheHits: number;
  cacheMisses: number;
}

/** What `getPerformanceSummary` answers. */
export interface PerformanceSummary {
  timestamp: number;
  system: { cpu: number | null; memory: number | null; uptime: number | null };
  application: {
    requests: number;
    responses: number;
    errors: number;
    errorRate: number;
    responseTime: number;
    throughput: number;
    p50Ms: number | null;
    p95Ms: number | null;
    p99Ms: number | null;
    inFlight: number;
  };
  database: DatabaseMetrics;
  cache: { hits: number; misses: number; hitRate: number };
  ml: { predictions: number; accuracy: number | null };
  /** Open alerts, count. */
  alerts: number;
  windows: { '1m': WindowMetrics; '5m': WindowMetrics; '1h': WindowMetrics };
}

/** How good a web vital is. */
export type VitalRating = 'good' | 'needs-improvement' | 'poor';

/** A web vital as the `web-vitals` package tells it, or a custom metric. */
export interface WebVital {
  /** lcp, inp, cls, fcp, ttfb in any case, or `custom:` and a name. */
  name: string;
  /** Milliseconds; a plain number for cls and custom metrics. */
  value: number;
  /** Default: by the limits of web.dev/vitals. */
  rating?: VitalRating | undefined;
  /** The page; only reported, not kept. */
  url?: string | undefined;
}

/** Which part of the history is exported. Unix milliseconds. */
export interface ExportOptions {
  from?: number | undefined;
  to?: number | undefined;
  /** One row for so many milliseconds. */
  step?: number | undefined;
}

/** Events of a PerformanceMonitoringEngine. */
export type MonitoringEvents = {
  systemMetrics: [metrics: CurrentSystemMetrics];
  applicationMetrics: [metrics: ApplicationMetrics];
  databaseMetrics: [metrics: DatabaseMetrics];
  apiMetrics: [metrics: ApiMetrics];
  cacheMetrics: [metrics: CacheMetrics];
  mlMetrics: [metrics: MLMetrics];
  requestStarted: [request: { id: string; endpoint: string; method: string; startTime: number }];
  responseCompleted: [
    response: { id: string; endpoint: string; method: string; status: number; duration: number; bytes: number },
  ];
  errorRecorded: [error: { type: string; message: string; context: unknown; timestamp: number }];
  cacheOperation: [operation: { operation: string; key: unknown; hit: boolean }];
  dbQuery: [query: { query: string; duration: number; rows: number }];
  mlPrediction: [prediction: { model: string; duration: number; accuracy: number | null }];
  alertTriggered: [alert: Alert];
  alertResolved: [alert: Alert];
  error: [error: unknown];
};
