// SPDX-License-Identifier: Apache-2.0

package parquetfile

// What the tests look at.
const (
	Format          = format
	MetadataFormat  = metadataFormat
	MetadataPlan    = metadataPlan
	MaxRowsPerGroup = maxRowsPerGroup
)

var Snake = snake
