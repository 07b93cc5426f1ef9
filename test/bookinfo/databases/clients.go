// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// runMySQLClient runs the statements of -e and prints what they return, as
// MySQL's own client does without a terminal.
func runMySQLClient(ctx context.Context, p process) error {
	flags := pflag.NewFlagSet("mysql", pflag.ContinueOnError)
	flags.SetOutput(p.stderr)
	host := flags.StringP("host", "h", "127.0.0.1", "")
	port := flags.StringP("port", "P", "3306", "")
	user := flags.StringP("user", "u", "root", "")
	password := flags.StringP("password", "p", "", "")
	statements := flags.StringP("execute", "e", "", "")
	patient := flags.Int("connect-timeout", 30, "seconds")
	if err := flags.Parse(p.args); err != nil {
		return err
	}
	if *statements == "" || flags.NArg() > 1 {
		return errors.New("want [-h HOST] [-P PORT] [-u USER] [-pPASSWORD] [DATABASE] -e STATEMENTS")
	}
	db, err := openMySQL(net.JoinHostPort(*host, *port), *user, *password, flags.Arg(0), true)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	connecting, cancel := context.WithTimeout(ctx, time.Duration(*patient)*time.Second)
	defer cancel()
	// The server speaks first, or never.
	if err := db.PingContext(connecting); err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, *statements)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for more := true; more; more = rows.NextResultSet() {
		if err := printRows(p.stdout, rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func printRows(out io.Writer, rows *sql.Rows) error {
	columns, err := rows.Columns()
	if err != nil || len(columns) == 0 {
		return err
	}
	fmt.Fprintln(out, strings.Join(columns, "\t"))
	values := make([]sql.NullString, len(columns))
	targets := make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		texts := make([]string, len(columns))
		for i, v := range values {
			if texts[i] = v.String; !v.Valid {
				texts[i] = "NULL"
			}
		}
		fmt.Fprintln(out, strings.Join(texts, "\t"))
	}
	return rows.Err()
}

// call is an expression that mongosh takes, with its arguments as JSON.
var call = regexp.MustCompile(`^db\.(\w+)\.(\w+)\((.*)\)$`)

// runMongoClient runs the one call of --eval, such as
// db.ratings.updateOne({"rating": 5}, {"$set": {"rating": 1}}).
func runMongoClient(ctx context.Context, p process) error {
	flags := pflag.NewFlagSet("mongosh", pflag.ContinueOnError)
	flags.SetOutput(p.stderr)
	text := flags.String("eval", "", "")
	flags.Bool("quiet", false, "")
	if err := flags.Parse(p.args); err != nil {
		return err
	}
	m := call.FindStringSubmatch(strings.TrimSuffix(strings.TrimSpace(*text), ";"))
	if m == nil || flags.NArg() > 1 {
		return errors.New("want [DATABASE | mongodb://HOST:PORT/DATABASE] --eval 'db.COLLECTION.METHOD(JSON, ...)'")
	}
	url, database := "mongodb://127.0.0.1:27017", flags.Arg(0)
	if strings.Contains(database, "://") {
		url = database
		database, _, _ = strings.Cut(database[strings.LastIndex(database, "/")+1:], "?")
	}
	if database == "" {
		database = databaseName
	}
	var args []bson.D
	if err := bson.UnmarshalExtJSON([]byte(`{"all":[`+m[3]+`]}`), false, &struct {
		All *[]bson.D `bson:"all"`
	}{&args}); err != nil {
		return fmt.Errorf("arguments %s: %w", m[3], err)
	}
	client, err := openMongo(url, 30*time.Second)
	if err != nil {
		return err
	}
	// It ends anyway.
	defer func() { _ = client.Disconnect(context.WithoutCancel(ctx)) }()
	return evaluate(ctx, p.stdout, client.Database(database).Collection(m[1]), m[2], args)
}

func evaluate(ctx context.Context, out io.Writer, c *mongo.Collection, method string, args []bson.D) error {
	count := map[string]int{"insertOne": 1, "updateOne": 2, "updateMany": 2, "deleteMany": 1, "drop": 0}
	if method == "find" {
		return printDocuments(ctx, out, c, append(args, bson.D{})[0])
	}
	want, known := count[method]
	if !known || len(args) != want {
		return fmt.Errorf("%s with %d arguments: want find, insertOne, updateOne, updateMany, deleteMany or drop, with their arguments", method, len(args))
	}
	var err error
	switch method {
	case "insertOne":
		_, err = c.InsertOne(ctx, args[0])
	case "updateOne":
		_, err = c.UpdateOne(ctx, args[0], args[1])
	case "updateMany":
		_, err = c.UpdateMany(ctx, args[0], args[1])
	case "deleteMany":
		_, err = c.DeleteMany(ctx, args[0])
	case "drop":
		err = c.Drop(ctx)
	}
	return err
}

func printDocuments(ctx context.Context, out io.Writer, c *mongo.Collection, filter bson.D) error {
	var found []bson.D
	documents, err := c.Find(ctx, filter)
	if err == nil {
		err = documents.All(ctx, &found)
	}
	if err != nil {
		return err
	}
	for _, d := range found {
		text, err := bson.MarshalExtJSON(d, false, false)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, string(text))
	}
	return nil
}
