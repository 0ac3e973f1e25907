// Sends spans, metrics and log records with the exporters that applications use. Prints one JSON object: per signal
// "ok" or what the exporter said.
//   node export.js URL proto|json gzip|none COUNT SERVICE [TOKEN]
'use strict';
const [url, form, compression, countText, service, token] = process.argv.slice(2);
const count = Number(countText);
const of = (signal) => require(`@opentelemetry/exporter-${signal}-otlp-${form === 'proto' ? 'proto' : 'http'}`);
const { OTLPTraceExporter } = of('trace');
const { OTLPMetricExporter } = of('metrics');
const { OTLPLogExporter } = of('logs');
const { BasicTracerProvider, SimpleSpanProcessor, InMemorySpanExporter } = require('@opentelemetry/sdk-trace-base');
const { MeterProvider, PeriodicExportingMetricReader, AggregationType } = require('@opentelemetry/sdk-metrics');
const { LoggerProvider, SimpleLogRecordProcessor, InMemoryLogRecordExporter } = require('@opentelemetry/sdk-logs');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { diag, DiagConsoleLogger, DiagLogLevel } = require('@opentelemetry/api');

diag.setLogger({ ...new DiagConsoleLogger(), error: console.error, warn: console.error, info() {}, debug() {}, verbose() {} },
  DiagLogLevel.WARN);
const resource = resourceFromAttributes({ 'service.name': service, 'service.instance.id': 'one', 'process.pid': process.pid });
const options = (path) => ({
  url: `${url}/v1/${path}`, compression, timeoutMillis: 30000,
  headers: token ? { Authorization: `Bearer ${token}` } : {},
});
const exported = (exporter, data) => new Promise((resolve) =>
  exporter.export(data, (result) => resolve(result.code === 0 ? 'ok' : String(result.error))));

async function traces() {
  const memory = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ resource, spanProcessors: [new SimpleSpanProcessor(memory)] });
  const tracer = provider.getTracer('test', '1.0');
  for (let i = 0; i < count; i++) {
    const span = tracer.startSpan(`operation ${i % 7}`, {
      kind: 1, attributes: { 'http.route': '/cart', 'http.status_code': 200 + i, ratio: 0.5, flags: [true, false], umlaut: 'ü €' },
    });
    span.addEvent('cache miss', { key: `k${i}` });
    if (i % 10 === 0) span.setStatus({ code: 2, message: 'failed' });
    span.end();
  }
  return exported(new OTLPTraceExporter(options('traces')), memory.getFinishedSpans());
}

async function metrics() {
  const reader = new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter(options('metrics')), exportIntervalMillis: 3600000 });
  const provider = new MeterProvider({
    resource, readers: [reader],
    views: [{ instrumentName: 'latency.exponential', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
  });
  const meter = provider.getMeter('test');
  const requests = meter.createCounter('requests', { unit: '{request}' });
  const latency = meter.createHistogram('latency', { unit: 'ms' });
  const exponential = meter.createHistogram('latency.exponential', { unit: 'ms' });
  meter.createObservableGauge('temperature').addCallback((result) => result.observe(21.5));
  for (let i = 0; i < count; i++) {
    requests.add(1, { route: '/cart' });
    latency.record(i);
    exponential.record(i);
  }
  const data = (await reader.collect()).resourceMetrics;
  return exported(new OTLPMetricExporter(options('metrics')), data);
}

async function logs() {
  const memory = new InMemoryLogRecordExporter();
  const provider = new LoggerProvider({ resource, processors: [new SimpleLogRecordProcessor(memory)] });
  const logger = provider.getLogger('test');
  for (let i = 0; i < count; i++)
    logger.emit({ severityNumber: 9, severityText: 'INFO', body: `line ${i}`, attributes: { i } });
  await provider.forceFlush();
  return exported(new OTLPLogExporter(options('logs')), memory.getFinishedLogRecords());
}

(async () => {
  const result = {};
  for (const [name, run] of Object.entries({ traces, metrics, logs })) result[name] = await run();
  console.log(JSON.stringify(result));
  process.exit(0);
})();
