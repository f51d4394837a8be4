/** Matrices in the forms that callers have them. */
import { SommosError } from '../errors.js';
import type { FlatMatrix } from '../runtime/calls.js';
import { buildInSlices } from '../runtime/slices.js';

/** A matrix as an array of rows. */
export type Rows = readonly (readonly number[])[];

/** Either form. */
export type MatrixInput = Rows | FlatMatrix;

/** Whether a matrix is in one typed array. */
export function isFlat(matrix: MatrixInput): matrix is FlatMatrix {
  return !Array.isArray(matrix) && ArrayBuffer.isView((matrix as FlatMatrix)?.data);
}

/** Any form as one typed array; rows become doubles. */
export function flatten(name: string, matrix: MatrixInput): FlatMatrix {
  if (isFlat(matrix)) return matrix;
  if (!Array.isArray(matrix) || !Array.isArray(matrix[0]) || matrix[0].length === 0) {
    throw new SommosError(
      'INVALID_FIELD',
      `${name} must be an array of rows of numbers, or {rows, cols, data} with a typed array`,
    );
  }
  const [rows, cols] = [matrix.length, matrix[0].length];
  const data = new Float64Array(rows * cols);
  matrix.forEach((row: readonly number[], r: number) => {
    if (row?.length !== cols) {
      const message = `${name}: row ${r} has ${row?.length} columns, row 0 has ${cols}: rows must be equally long`;
      throw new SommosError('INVALID_FIELD', message);
    }
    for (let c = 0; c < cols; c++) {
      const value = row[c];
      if (typeof value !== 'number') {
        throw new SommosError('INVALID_FIELD', `${name}[${r}][${c}] is ${String(value)}; expected a number`);
      }
      data[r * cols + c] = value;
    }
  });
  return { rows, cols, data };
}

/** As an array of rows, built without holding up the event loop. */
export function toRows({ rows, cols, data }: FlatMatrix): Promise<number[][]> {
  const row = (r: number) => Array.from(data.subarray(r * cols, (r + 1) * cols));
  return buildInSlices(rows, row, cols);
}
