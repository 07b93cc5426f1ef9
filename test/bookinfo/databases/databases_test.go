// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// generous is how long an answer may take on a busy machine.
const generous = time.Minute

// listening runs a server on the loopback until the test ends.
func listening(t *testing.T, serve func(context.Context, net.Listener) error) (host, port string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	host, port, err = net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

func newMySQL(t *testing.T) (host, port string) {
	return listening(t, func(ctx context.Context, l net.Listener) error { return serveMySQL(ctx, l, "password", io.Discard) })
}

func newMongo(t *testing.T) (host, port string) {
	return listening(t, func(ctx context.Context, l net.Listener) error { return serveMongo(ctx, l, io.Discard) })
}

func client(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs strings.Builder
	if status := run(t.Context(), args, func(string) string { return "" }, &out, &errs); status != 0 {
		t.Fatalf("%s: status %d: %s", strings.Join(args, " "), status, errs.String())
	}
	return out.String()
}

// databases are those that ratings may ask, each with a client that runs one
// statement in it.
func databases(t *testing.T) map[string]struct {
	stars source
	sh    func(t *testing.T, statement string) string
} {
	t.Helper()
	mysqlHost, mysqlPort := newMySQL(t)
	mongoHost, mongoPort := newMongo(t)
	url := "mongodb://" + net.JoinHostPort(mongoHost, mongoPort) + "/test"
	return map[string]struct {
		stars source
		sh    func(t *testing.T, statement string) string
	}{
		"MySQL": {fromMySQL(net.JoinHostPort(mysqlHost, mysqlPort), "root", "password", generous), func(t *testing.T, statement string) string {
			return client(t, "mysql", "-h", mysqlHost, "-P", mysqlPort, "-u", "root", "-ppassword", "test", "-e", statement)
		}},
		"MongoDB": {fromMongo(url, generous), func(t *testing.T, statement string) string {
			return client(t, "/usr/bin/mongosh", url, "--quiet", "--eval", statement)
		}},
	}
}

func ask(s ratings, method, path, body string) (int, string) {
	w := httptest.NewRecorder()
	s.log = io.Discard
	s.handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

// What is in the database is what ratings tells, at once.
func TestStars(t *testing.T) {
	all := databases(t)
	for name, steps := range map[string][]struct{ statement, prints, want string }{
		"MySQL": {
			{"select * from ratings", "ReviewID\tRating\n1\t5\n2\t4\n", `{"id":0,"ratings":{"Reviewer1":5,"Reviewer2":4}}`},
			{"update ratings set rating=1 where reviewid=1; select * from ratings;", "ReviewID\tRating\n1\t1\n2\t4\n", `{"id":0,"ratings":{"Reviewer1":1,"Reviewer2":4}}`},
			{"insert into ratings values (0, 2)", "", `{"id":0,"ratings":{"Reviewer1":2,"Reviewer2":1}}`},
			{"update ratings set rating=null where reviewid=1", "", `{"id":0,"ratings":{"Reviewer1":2,"Reviewer2":0}}`},
			{"select rating from ratings where reviewid=1", "rating\nNULL\n", `{"id":0,"ratings":{"Reviewer1":2,"Reviewer2":0}}`},
			{"delete from ratings", "", `{"id":0,"ratings":{"Reviewer1":0,"Reviewer2":0}}`},
		},
		"MongoDB": {
			{"db.ratings.drop()", "", `{"id":0,"ratings":{"Reviewer1":0,"Reviewer2":0}}`},
			{`db.ratings.insertOne({"_id": 7, "rating": 5})`, "", `{"id":0,"ratings":{"Reviewer1":5,"Reviewer2":0}}`},
			{`db.ratings.insertOne({"_id": 3, "rating": 4})`, "", `{"id":0,"ratings":{"Reviewer1":5,"Reviewer2":4}}`},
			{`db.ratings.updateOne({"rating": 5}, {"$set": {"rating": 1}})`, "", `{"id":0,"ratings":{"Reviewer1":1,"Reviewer2":4}}`},
			{`db.ratings.find()`, "{\"_id\":7,\"rating\":1}\n{\"_id\":3,\"rating\":4}\n", `{"id":0,"ratings":{"Reviewer1":1,"Reviewer2":4}}`},
			{`db.ratings.find({"rating": 4});`, "{\"_id\":3,\"rating\":4}\n", `{"id":0,"ratings":{"Reviewer1":1,"Reviewer2":4}}`},
			{`db.ratings.updateMany({}, {"$set": {"rating": 3, "new": true}})`, "", `{"id":0,"ratings":{"Reviewer1":3,"Reviewer2":3}}`},
			{`db.ratings.deleteMany({"_id": 7, "new": true})`, "", `{"id":0,"ratings":{"Reviewer1":3,"Reviewer2":0}}`},
			{`db.others.find({})`, "", `{"id":0,"ratings":{"Reviewer1":3,"Reviewer2":0}}`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := ratings{stars: all[name].stars}
			if status, body := ask(s, http.MethodGet, "/ratings/7", ""); status != http.StatusOK || body != `{"id":7,"ratings":{"Reviewer1":5,"Reviewer2":4}}` {
				t.Errorf("a new database: %d %s", status, body)
			}
			for _, step := range steps {
				if diff := cmp.Diff(step.prints, all[name].sh(t, step.statement)); diff != "" {
					t.Errorf("%s: %s", step.statement, diff)
				}
				if status, body := ask(s, http.MethodGet, "/ratings/0", ""); status != http.StatusOK || body != step.want {
					t.Errorf("after %s: %d %s, want %s", step.statement, status, body, step.want)
				}
			}
		})
	}
}

// What is wrong with a database is told in one sentence, and with a status that
// callers and proxies understand.
func TestDatabaseFails(t *testing.T) {
	mysqlHost, mysqlPort := newMySQL(t)
	mysql := net.JoinHostPort(mysqlHost, mysqlPort)
	mongoHost, mongoPort := newMongo(t)
	mongo := net.JoinHostPort(mongoHost, mongoPort)
	// A database that accepts and says nothing, as a proxy before none does.
	silentHost, silentPort := listening(t, func(ctx context.Context, l net.Listener) error {
		defer context.AfterFunc(ctx, func() { _ = l.Close() })()
		for {
			conn, err := l.Accept()
			if err != nil {
				return nil
			}
			defer conn.Close()
		}
	})
	silent := net.JoinHostPort(silentHost, silentPort)
	// The client gives up on it, too.
	if status := run(t.Context(), []string{"mysql", "-h", silentHost, "-P", silentPort, "--connect-timeout=1", "-e", "select 1"}, func(string) string { return "" }, io.Discard, io.Discard); status != 1 {
		t.Errorf("mysql: status %d", status)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	const soon = 300 * time.Millisecond
	const noConnection = `{"error":"could not connect to ratings database"}`
	for name, c := range map[string]struct {
		stars source
		want  string
	}{
		"MySQLGone":        {fromMySQL(gone.Addr().String(), "root", "password", soon), noConnection},
		"MySQLSilent":      {fromMySQL(silent, "root", "password", soon), noConnection},
		"MySQLPassword":    {fromMySQL(mysql, "root", "other", generous), noConnection},
		"MySQLUser":        {fromMySQL(mysql, "nobody", "password", generous), noConnection},
		"MySQLNoTable":     {fromMySQL(mysql, "root", "password", generous), `{"error":"could not perform select"}`},
		"MongoGone":        {fromMongo("mongodb://"+gone.Addr().String()+"/test", soon), noConnection},
		"MongoSilent":      {fromMongo("mongodb://"+silent+"/test", soon), noConnection},
		"MongoNoURL":       {fromMongo("", generous), noConnection},
		"MongoNotANumber":  {fromMongo("mongodb://"+mongo+"/test", generous), `{"error":"could not load ratings from database"}`},
		"MongoSpeaksMySQL": {fromMySQL(mongo, "root", "password", soon), noConnection},
	} {
		t.Run(name, func(t *testing.T) {
			switch name {
			case "MySQLNoTable":
				client(t, "mysql", "-h", mysqlHost, "-P", mysqlPort, "-ppassword", "test", "-e", "drop table ratings")
			case "MongoNotANumber":
				client(t, "mongosh", "mongodb://"+mongo+"/test", "--eval", `db.ratings.updateOne({"rating": 5}, {"$set": {"rating": "five"}})`)
			}
			if status, body := ask(ratings{stars: c.stars}, http.MethodGet, "/ratings/0", ""); status != http.StatusInternalServerError || body != c.want {
				t.Errorf("%d %s, want 500 %s", status, body, c.want)
			}
		})
	}
}

// What doesn't need the database is answered without it.
func TestWithoutDatabase(t *testing.T) {
	s := ratings{stars: func(context.Context) ([]int, string, error) { panic("nobody asked for stars") }}
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		want               string
	}{
		"Health":      {http.MethodGet, "/health", "", 200, `{"status":"Ratings is healthy"}`},
		"Number":      {http.MethodGet, "/ratings/x", "", 400, `{"error":"please provide numeric product ID"}`},
		"Post":        {http.MethodPost, "/ratings/0", `{"Reviewer1":1}`, 501, `{"error":"Post not implemented for database backed ratings"}`},
		"PostGarbage": {http.MethodPost, "/ratings/0", `{`, 400, `{"error":"please provide valid ratings JSON"}`},
		"PostNumber":  {http.MethodPost, "/ratings/x", `{}`, 400, `{"error":"please provide numeric product ID"}`},
	} {
		if status, body := ask(s, c.method, c.path, c.body); status != c.status || body != c.want {
			t.Errorf("%s: %d %s, want %d %s", name, status, body, c.status, c.want)
		}
	}
}

// The programs take the arguments and variables of upstream's manifests, and
// say what they don't.
func TestPrograms(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		want int
		says string
	}{
		"None":          {[]string{"/databases"}, nil, 2, "want a program: mongodb, mongosh, mysql, mysqldb, ratings"},
		"NoPassword":    {[]string{"/databases", "mysqldb"}, nil, 1, "set MYSQL_ROOT_PASSWORD"},
		"OtherPlugin":   {[]string{"mysqldb", "--default-authentication-plugin", "other"}, map[string]string{"MYSQL_ROOT_PASSWORD": "p"}, 1, "there is only mysql_native_password"},
		"UnknownOption": {[]string{"mongodb", "--auth"}, nil, 1, "unknown flag: --auth"},
		"Method":        {[]string{"mongosh", "--eval", "db.ratings.aggregate([])"}, nil, 1, "arguments []"},
		"NotACall":      {[]string{"mongosh", "--eval", "1+1"}, nil, 1, "db.COLLECTION.METHOD"},
		"NoStatement":   {[]string{"mysql", "-u", "root"}, nil, 1, "-e STATEMENTS"},
		"Loopback":      {[]string{"mongodb", "--port", "0"}, nil, 0, ""},
		"AllAddresses":  {[]string{"mongodb", "--ipv6", "--bind_ip_all", "--port", "0"}, nil, 0, ""},
		"MySQL":         {[]string{"mysqldb", "--default-authentication-plugin", "mysql_native_password", "--port", "0"}, map[string]string{"MYSQL_ROOT_PASSWORD": "p"}, 0, ""},
		"Ratings":       {[]string{"databases", "ratings", "0"}, nil, 0, ""},
	} {
		var out, errs strings.Builder
		// What listens ends at once.
		got := run(ended, c.args, func(name string) string { return c.env[name] }, &out, &errs)
		if got != c.want || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%s: %d, want %d and %q: %s", name, got, c.want, c.says, errs.String())
		}
	}
}
