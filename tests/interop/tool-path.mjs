// SPDX-License-Identifier: MIT
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The tool under test: LATCHKEY_TOOL, or what `./dev build` leaves. */
export const toolPath =
  process.env.LATCHKEY_TOOL ?? join(dirname(fileURLToPath(import.meta.url)), '../../build/dev/cli/latchkey')
