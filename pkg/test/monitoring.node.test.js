import { assert } from 'chai';
import { totalmem } from 'node:os';
import { PerformanceMonitoringEngine } from '@sommos/performance';

describe('PerformanceMonitoringEngine in Node', () => {
  it('reads the machine and the process', async () => {
    const engine = new PerformanceMonitoringEngine();
    const end = performance.now() + 60;
    while (performance.now() < end);
    engine.collect();
    const { system } = engine.getCurrentMetrics();
    assert.equal(system.memoryTotal, totalmem());
    assert.isAbove(system.memoryUsed, 0);
    assert.isAbove(system.rss, 10_000_000);
    assert.isAbove(system.processCpuPercent, 0);
    assert.isAtLeast(system.load1, 0);
    assert.isAtLeast(system.uptime, 0);
    assert.isNull(system.diskTotal);
    engine.destroy();
  });
});
