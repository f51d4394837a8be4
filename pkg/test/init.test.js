import { assert } from 'chai';
import { init, mode, SommosError } from '@sommos/performance';

describe('init', () => {
  it('tells which module runs and why', async () => {
    const chosen = await init();
    assert.deepEqual(chosen, mode());
    assert.oneOf(chosen.mode, ['threads', 'single']);
    assert.isNotEmpty(chosen.reason);
  });

  it('refuses an unknown mode by its name', async () => {
    const error = await init({ mode: 'fast' }).then(assert.fail, (thrown) => thrown);
    assert.instanceOf(error, SommosError);
    assert.equal(error.code, 'INVALID_OPTION');
    assert.include(error.message, 'mode is "fast"; expected one of auto');
  });
});
