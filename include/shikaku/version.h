// SPDX-License-Identifier: MIT
// The version of these headers; shk_version() is that of the library. `make` takes it from here for pkg-config.
#ifndef SHIKAKU_VERSION_H
#define SHIKAKU_VERSION_H

#define SHK_VERSION_MAJOR 0
#define SHK_VERSION_MINOR 1
#define SHK_VERSION_PATCH 0
// Grows with each version: #if SHK_VERSION_NUMBER >= SHK_VERSION_OF(0, 1, 0)
#define SHK_VERSION_OF(major, minor, patch) ((major)*1000000 + (minor)*1000 + (patch))
#define SHK_VERSION_NUMBER SHK_VERSION_OF(SHK_VERSION_MAJOR, SHK_VERSION_MINOR, SHK_VERSION_PATCH)

#define SHK_VERSION_JOIN_(major, minor, patch) #major "." #minor "." #patch
#define SHK_VERSION_TEXT_(major, minor, patch) SHK_VERSION_JOIN_(major, minor, patch)
#define SHK_VERSION SHK_VERSION_TEXT_(SHK_VERSION_MAJOR, SHK_VERSION_MINOR, SHK_VERSION_PATCH) // "0.1.0"

#endif
