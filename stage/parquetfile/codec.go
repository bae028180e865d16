// SPDX-License-Identifier: Apache-2.0

package parquetfile

import (
	"fmt"

	encoding "github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// windowBytes is how far back a page is searched for what comes again. Pages are smaller; that of the library is for
// streams, and costs 8 MB for each encoder.
const windowBytes = 1 << 20

// A codec is the library's with one encoder that is as large as pages need it.
type codec struct {
	zstd.Codec

	encoder *encoding.Encoder
}

func newCodec() *codec {
	encoder, err := encoding.NewWriter(nil,
		encoding.WithEncoderConcurrency(1), encoding.WithEncoderLevel(encoding.SpeedFastest), encoding.WithWindowSize(windowBytes),
		encoding.WithLowerEncoderMem(true), encoding.WithZeroFrames(true), encoding.WithEncoderCRC(false),
	)
	if err != nil {
		panic(fmt.Sprintf("make an encoder of constants: %v", err)) // they do not depend on anything
	}
	return &codec{encoder: encoder}
}

// Encode implements [compress.Codec].
func (c *codec) Encode(dst, src []byte) ([]byte, error) {
	return c.encoder.EncodeAll(src, dst[:0]), nil
}
