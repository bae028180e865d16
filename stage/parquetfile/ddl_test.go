// SPDX-License-Identifier: Apache-2.0

package parquetfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A dialect is how a query engine that no test runs declares the events as a table.
type dialect struct {
	head, tail string
	// types are by the annotation of the Parquet schema, that of a boolean by its physical type.
	types map[string]string
}

var dialects = map[string]dialect{
	"trino.sql": {
		head: `-- SPDX-License-Identifier: Apache-2.0
--
-- The events as a table of Trino's Hive connector. Not run by a test; the columns are those of the files. Set the location, and
-- tell the catalogue of new days by the last statement.
CREATE TABLE hive.telemetry.events (
`,
		tail: `  cluster varchar,
  date date
)
WITH (external_location = 's3://telemetry/prod/v1/events', format = 'PARQUET', partitioned_by = ARRAY['cluster', 'date']);

CALL hive.system.sync_partition_metadata('telemetry', 'events', 'FULL');
`,
		types: map[string]string{"STRING": "varchar", "TIMESTAMP": "timestamp(6)", "INT": "bigint", "boolean": "boolean"},
	},
	"spark.sql": {
		head: `-- SPDX-License-Identifier: Apache-2.0
--
-- The events as a table of Spark. Not run by a test; the columns are those of the files. Set the location, and tell the
-- catalogue of new days by the last statement.
SET TIME ZONE 'UTC';

CREATE TABLE telemetry.events (
`,
		tail: `  cluster STRING,
  date DATE
)
USING PARQUET
PARTITIONED BY (cluster, date)
LOCATION 's3a://telemetry/prod/v1/events';

MSCK REPAIR TABLE telemetry.events;
`,
		types: map[string]string{"STRING": "STRING", "TIMESTAMP": "TIMESTAMP", "INT": "BIGINT", "boolean": "BOOLEAN"},
	},
}

// The tables for other engines have the columns of the files, each by its type.
func TestDDL(t *testing.T) {
	schema, err := os.ReadFile(filepath.Join("testdata", "schema.txt"))
	if err != nil {
		t.Fatal(err)
	}
	columns := regexp.MustCompile(`(?m)^\t(?:required|optional) (\w+) (\w+)(?: \(([A-Z]+).*\))?;$`).FindAllStringSubmatch(string(schema), -1)
	if len(columns) != strings.Count(string(schema), ";") {
		t.Fatalf("%d columns of\n%s", len(columns), schema)
	}
	for file, d := range dialects {
		var ddl strings.Builder
		ddl.WriteString(d.head)
		for _, column := range columns {
			kind := d.types[column[3]]
			if kind == "" {
				kind = d.types[column[1]]
			}
			if kind == "" {
				t.Fatalf("no type for %q", column[0])
			}
			fmt.Fprintf(&ddl, "  %s %s,\n", column[2], kind)
		}
		ddl.WriteString(d.tail)
		path := filepath.Join("..", "..", "docs", "analysis", "tables", file)
		if *update {
			if err := os.WriteFile(path, []byte(ddl.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != ddl.String() {
			t.Errorf("%s does not have the columns of the files (error %v): run make generate", path, err)
		}
	}
}
